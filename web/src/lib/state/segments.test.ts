import { describe, expect, it } from 'vitest';
import type { ToolCall } from '../api/types';
import { pretty, segments } from './segments';

const call = (id: string, at: number): ToolCall => ({
  id,
  at,
  server: 's',
  tool: 't',
  arguments: '{}',
  state: 'done',
  result: '',
  detail: {},
  created_at: 0,
  ended_at: null
});
const shape = (text: string, calls: ToolCall[]) =>
  segments(text, calls).map((part) => [part.text, part.calls.map((one) => one.id).join()]);

describe('an answer with calls', () => {
  it('is one text where there are none', () => {
    expect(shape(' as it is\n', [])).toEqual([[' as it is\n', '']]);
  });

  it('has each call where it was made, counted in bytes', () => {
    expect(shape('né 字.\n\nThen.', [call('a', 8), call('b', 8)])).toEqual([
      ['né 字.', 'a,b'],
      ['Then.', '']
    ]);
    expect(shape('', [call('a', 0)])).toEqual([['', 'a']]);
    expect(shape('x\n\ny', [call('a', 0), call('b', 4)])).toEqual([
      ['', 'a'],
      ['x\n\ny', 'b']
    ]);
  });

  it('bears places that are none', () => {
    expect(shape('é', [call('a', -1), call('b', 99), call('c', 1)])).toEqual([
      ['', 'a'],
      ['é', 'b,c']
    ]);
  });

  it('shows JSON on lines', () => {
    expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
    expect(pretty('{"a":')).toBe('{"a":');
  });

  it('shows what would not be seen, as JSON writes it', () => {
    expect(pretty('{"a":"x\u202ey"}')).toBe('{\n  "a": "x\\u202ey"\n}');
    expect(pretty('x\u200b\u{e0041}')).toBe('x\\u200b\\udb40\\udc41');
  });
});
