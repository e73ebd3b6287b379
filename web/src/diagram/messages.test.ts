import { describe, expect, it } from 'vitest';
import { understood } from './messages';

describe('what a frame says', () => {
  it('is taken for what it may be', () => {
    expect(understood({ kind: 'ready', more: 1 })).toEqual({ kind: 'ready' });
    expect(understood({ kind: 'drawn', width: 10, height: 20 })).toEqual({ kind: 'drawn', width: 10, height: 20 });
    expect(understood({ kind: 'failed', why: 'x'.repeat(1000) })).toEqual({ kind: 'failed', why: 'x'.repeat(400) });
    expect(understood({ kind: 'failed', why: {} })).toEqual({ kind: 'failed', why: '' });
  });

  it('and nothing else is', () => {
    for (const data of [null, 1, 'ready', [], {}, { kind: 'other' }]) expect(understood(data)).toBeNull();
    for (const width of [0, -1, NaN, Infinity, 1e9, '10', null, undefined]) {
      expect(understood({ kind: 'drawn', width, height: 10 })).toBeNull();
      expect(understood({ kind: 'drawn', width: 10, height: width })).toBeNull();
    }
  });
});
