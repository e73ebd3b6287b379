import { describe, expect, it } from 'vitest';
import { isColour, wishOf } from './messages';

describe('what a page of another application asks for', () => {
  it('is taken part by part', () => {
    const wish = wishOf({ terang: 1, token: 'a.b.c', assistant: 'Poet', lang: 'id', theme: 'dark', looks: { '--terang-accent': ' #8a5500 ', '--ground': 'red' } });
    expect(wish).toEqual({ terang: 1, token: 'a.b.c', assistant: 'Poet', lang: 'id', theme: 'dark', looks: { '--terang-accent': '#8a5500' } });
    const nothing = { terang: 1, token: null, assistant: null, lang: null, theme: 'system', looks: {} };
    expect(wishOf({ terang: 1 })).toEqual(nothing);
    expect(wishOf({ terang: 1, token: 7, assistant: {}, lang: [], theme: 'x', looks: 'y' })).toEqual(nothing);
    expect(wishOf({ terang: 1, token: 'x'.repeat(9000) })).toEqual(nothing);
    for (const other of [null, 1, 'x', [], {}, { terang: 2 }]) expect(wishOf(other)).toBeNull();
  });

  it('paints with colours and nothing else', () => {
    for (const fine of ['red', '#fff', '#AABBCCDD', 'rgb(1 2 3 / 40%)', 'hsl(12deg, 3%, 4%)', 'oklch(0.7 0.1 20)']) expect(isColour(fine), fine).toBe(true);
    for (const bad of ['', 'url(https://attacker.example/x)', 'var(--x)', 'red; background: url(x)', 'rgb(1', 'image-set(x)', 'expression(1)', 'red}', '/**/', 'env(x)', 'a'.repeat(90)]) {
      expect(isColour(bad), bad).toBe(false);
    }
  });
});
