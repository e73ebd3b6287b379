import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { en, type Text } from './en';
import { id } from './id';
import { fill } from './index.svelte';

const languages: Record<string, Record<string, Text>> = { en, id };
const forms = (text: Text) => (typeof text === 'string' ? [text] : [text.one ?? text.other, text.other]);
const places = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();

describe('languages', () => {
  it('have the same keys, none of them empty', () => {
    for (const [name, table] of Object.entries(languages)) {
      expect(Object.keys(table).sort(), name).toEqual(Object.keys(en).sort());
      for (const [key, text] of Object.entries(table)) {
        for (const form of forms(text)) expect(form.trim(), `${name} ${key}`).not.toBe('');
      }
    }
  });

  it('fill the same places', () => {
    for (const [name, table] of Object.entries(languages)) {
      for (const [key, text] of Object.entries(table)) {
        const original = (en as Record<string, Text>)[key] ?? '';
        expect(places(forms(text).at(-1) ?? ''), `${name} ${key}`).toEqual(places(forms(original).at(-1) ?? ''));
      }
    }
  });

  it('hold no key that nobody uses', () => {
    const source: string[] = [];
    const read = (folder: string) => {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) read(path);
        else if (/\.(?:svelte|ts)$/.test(entry.name) && !path.includes('i18n')) source.push(readFileSync(path, 'utf8'));
      }
    };
    read('src');
    const all = source.join('\n');
    const unused = Object.keys(en).filter((key) => {
      const family = key.slice(0, key.lastIndexOf('.') + 1);
      return !all.includes(`'${key}'`) && !all.includes(`\`${family}\${`);
    });
    expect(unused).toEqual([]);
  });
});

describe('a text', () => {
  it('has the plural of its language', () => {
    expect(fill(en['prefs.imported'], { n: 1 }, 'en')).toBe('1 chat imported');
    expect(fill(en['prefs.imported'], { n: 1200 }, 'en')).toBe('1,200 chats imported');
    expect(fill(id['prefs.imported'], { n: 1200 }, 'id')).toBe('1.200 obrolan diimpor');
  });

  it('is filled with text, never with another place', () => {
    expect(fill('{a} {b}', { a: '{b}', b: 'x' }, 'en')).toBe('{b} x');
    expect(fill(undefined, {}, 'en')).toBe('');
  });
});
