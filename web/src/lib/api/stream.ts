/**
 * Reads an answer as it grows, from where the client is, as often as the line drops. What is held is
 * counted in bytes of UTF-8, as the server counts; a piece that overlaps is cut, a gap asks again.
 */
import type { Message, ToolCall } from './types';

export type Sse = { event: string; data: string };

/** Splits a stream of text into server-sent events; feed it pieces cut anywhere. */
export class SseParser {
  private rest = '';
  private event = 'message';
  private data: string[] = [];

  feed(piece: string): Sse[] {
    const events: Sse[] = [];
    const lines = (this.rest + piece).split('\n');
    this.rest = lines.pop() ?? '';
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (this.data.length > 0) events.push({ event: this.event, data: this.data.join('\n') });
        this.event = 'message';
        this.data = [];
      } else if (line.startsWith('event:')) {
        this.event = line.slice(6).trim();
      } else if (line.startsWith('data:')) {
        this.data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
      }
      // Lines of a comment are heartbeats.
    }
    return events;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const byteLength = (text: string): number => encoder.encode(text).length;

/** What is new of `text`, which begins at byte `at`, for one who holds `held` bytes; null at a gap. */
export function unseen(held: number, at: number, text: string): string | null {
  if (at === held) return text;
  if (at > held) return null;
  const bytes = encoder.encode(text);
  const skip = held - at;
  return skip >= bytes.length ? '' : decoder.decode(bytes.subarray(skip));
}

export type Follower = {
  /** New text of the answer, in order, each character once. */
  text: (piece: string) => void;
  /** A call of a tool, each time that it is otherwise with it. */
  call?: (call: ToolCall) => void;
  /** The answer as the server keeps it. Nothing comes after it. */
  done: (message: Message) => void;
  /** The line dropped (true) or is back (false). */
  waiting: (waits: boolean) => void;
  /** It is of no use to ask again. */
  failed: (status: number) => void;
};

const RETRY_MS = [250, 500, 1000, 2000, 4000, 8000];
/** The server sends a heartbeat more often than this; a line that is silent for longer is dead. */
const SILENT_MS = 45_000;

/** Waits; shorter where it is given up, or where the browser says that the network is back. */
const sleep = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      globalThis.removeEventListener?.('online', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal.addEventListener('abort', wake);
    globalThis.addEventListener?.('online', wake);
  });

/** Follows an answer until it is done or `signal` says so. `content` is what is held already. */
export async function follow(
  path: string,
  content: string,
  on: Follower,
  signal: AbortSignal,
  fetcher: typeof fetch = fetch
): Promise<void> {
  let held = byteLength(content);
  let attempt = 0;
  while (!signal.aborted) {
    const line = new AbortController();
    const cut = () => line.abort();
    signal.addEventListener('abort', cut, { once: true });
    let alarm = setTimeout(cut, SILENT_MS);
    try {
      const response = await fetcher(`${path}?from=${held}`, {
        signal: line.signal,
        headers: { accept: 'text/event-stream' }
      });
      if (!response.ok || !response.body) {
        if (response.status >= 400 && response.status < 500 && response.status !== 429) {
          on.failed(response.status);
          return;
        }
        throw new Error(`status ${response.status}`);
      }
      on.waiting(false);
      const reader = response.body.getReader();
      const utf8 = new TextDecoder();
      const parser = new SseParser();
      reading: for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(alarm);
        alarm = setTimeout(cut, SILENT_MS);
        for (const event of parser.feed(utf8.decode(value, { stream: true }))) {
          if (event.event === 'text') {
            const { at, text } = JSON.parse(event.data) as { at: number; text: string };
            const piece = unseen(held, at, text);
            if (piece === null) break reading;
            if (piece !== '') {
              held += byteLength(piece);
              attempt = 0;
              on.text(piece);
            }
          } else if (event.event === 'call') {
            attempt = 0;
            on.call?.(JSON.parse(event.data) as ToolCall);
          } else if (event.event === 'done') {
            on.done(JSON.parse(event.data) as Message);
            await reader.cancel().catch(() => {});
            return;
          }
        }
      }
      await reader.cancel().catch(() => {});
    } catch {
      // Whatever broke the line, the answer goes on at the server: ask again from what is held.
    } finally {
      clearTimeout(alarm);
      signal.removeEventListener('abort', cut);
      line.abort();
    }
    if (signal.aborted) return;
    on.waiting(true);
    const pause = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 8000;
    attempt += 1;
    await sleep(pause, signal);
  }
}
