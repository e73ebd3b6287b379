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

/** JSON as it reads best; what is none stays as it is. */
export function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
