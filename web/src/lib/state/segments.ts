/** An answer in its order: what it says, and the calls of tools that it makes in between. */
import type { ToolCall } from '../api/types';

export type Segment = { text: string; calls: ToolCall[] };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Places are counted in bytes of UTF-8, as the server counts; text that has not come yet is empty. */
export function segments(text: string, calls: ToolCall[]): Segment[] {
  if (calls.length === 0) return [{ text, calls }];
  const bytes = encoder.encode(text);
  const parts: Segment[] = [];
  let from = 0;
  for (const call of calls) {
    const at = Math.min(Math.max(call.at, from), bytes.length);
    const said = decoder.decode(bytes.subarray(from, at)).trim();
    const last = parts.at(-1);
    if (last && said === '') last.calls.push(call);
    else parts.push({ text: said, calls: [call] });
    from = at;
  }
  const rest = decoder.decode(bytes.subarray(from)).trimStart();
  if (rest !== '') parts.push({ text: rest, calls: [] });
  return parts;
}

/** Characters that nobody sees, or that turn others around. */
const HIDDEN = /[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]|\udb40[\udc00-\udc7f]/g;

const escape = (hidden: string): string =>
  hidden.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** JSON as it reads best, with nothing in it that cannot be seen; what is no JSON keeps its form. */
export function pretty(json: string): string {
  let text = json;
  try {
    text = JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    // As it is.
  }
  return text.replace(HIDDEN, escape);
}
