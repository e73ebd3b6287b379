import { describe, expect, it, vi } from 'vitest';
import { byteLength, follow, SseParser, unseen } from './stream';
import type { Message } from './types';

const encoder = new TextEncoder();
const text = (at: number, piece: string) => `event: text\ndata: ${JSON.stringify({ at, text: piece })}\n\n`;
const done = (content: string) => `event: done\ndata: ${JSON.stringify({ id: 'm', content, status: 'done' })}\n\n`;

/** A response whose body comes in the given pieces, and breaks at the end if it is told to. */
function body(pieces: (string | Uint8Array)[], breaks = false): Response {
  const rest = [...pieces];
  // One piece each time it is asked: an error would take back what waits.
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const piece = rest.shift();
        if (piece !== undefined) controller.enqueue(typeof piece === 'string' ? encoder.encode(piece) : piece);
        else if (breaks) controller.error(new Error('the line dropped'));
        else controller.close();
      }
    },
    { highWaterMark: 0 }
  );
  return new Response(stream, { status: 200 });
}

async function run(responses: (() => Response)[], content = '') {
  vi.useFakeTimers();
  const asked: string[] = [];
  const seen = { text: '', done: [] as Message[], waiting: [] as boolean[], failed: [] as number[] };
  const fetcher = (async (url: string | URL | Request) => {
    asked.push(String(url));
    const next = responses.shift();
    if (!next) throw new Error('asked too often');
    return next();
  }) as typeof fetch;
  const abort = new AbortController();
  const following = follow(
    '/stream',
    content,
    {
      text: (piece) => (seen.text += piece),
      done: (message) => seen.done.push(message),
      waiting: (waits) => seen.waiting.push(waits),
      failed: (status) => seen.failed.push(status)
    },
    abort.signal,
    fetcher
  );
  let over = false;
  void following.then(() => (over = true));
  for (let step = 0; step < 50 && !over; step += 1) await vi.advanceTimersByTimeAsync(1000);
  abort.abort();
  await following;
  vi.useRealTimers();
  return { asked, seen };
}

describe('server-sent events', () => {
  it('are the same wherever the pieces are cut', () => {
    const whole = `: heartbeat\n\n${text(0, 'Hé')}\r\n${text(3, ' two\nlines')}${done('x')}`;
    const expected = new SseParser().feed(whole);
    expect(expected.map((event) => event.event)).toEqual(['text', 'text', 'done']);
    for (let cut = 1; cut < whole.length; cut += 1) {
      const parser = new SseParser();
      expect([...parser.feed(whole.slice(0, cut)), ...parser.feed(whole.slice(cut))]).toEqual(expected);
    }
  });
});

describe('what is new of a piece', () => {
  it('is counted in bytes', () => {
    expect(byteLength('é€😀')).toBe(9);
    expect(unseen(0, 0, 'abc')).toBe('abc');
    expect(unseen(2, 0, 'éa')).toBe('a');
    expect(unseen(9, 0, 'é€😀')).toBe('');
    expect(unseen(0, 5, 'late')).toBeNull();
  });
});

describe('following an answer', () => {
  it('begins at what is held already', async () => {
    const { asked, seen } = await run([() => body([text(3, ' b'), done('é b')])], 'é ');
    expect(asked).toEqual(['/stream?from=3']);
    expect(seen.text).toBe(' b');
    expect(seen.done).toHaveLength(1);
  });

  it('goes on where the line dropped, with each character once', async () => {
    const { asked, seen } = await run([
      () => body([text(0, 'Halo, '), text(6, 'dunia')], true),
      () => body([text(6, 'dunia! '), text(13, '😀')]),
      () => body([text(13, '😀 end'), done('Halo, dunia! 😀 end')])
    ]);
    expect(seen.text).toBe('Halo, dunia! 😀 end');
    expect(asked).toEqual(['/stream?from=0', '/stream?from=11', '/stream?from=17']);
    expect(seen.done).toHaveLength(1);
    expect(seen.waiting).toContain(true);
  });

  it('asks again at a gap instead of leaving text out', async () => {
    const { asked, seen } = await run([
      () => body([text(0, 'one '), text(9, 'three')]),
      () => body([text(4, 'two, three'), done('one two, three')])
    ]);
    expect(seen.text).toBe('one two, three');
    expect(asked[1]).toBe('/stream?from=4');
  });

  it('survives a cut within a character', async () => {
    const bytes = encoder.encode(text(0, '€😀'));
    const cut = bytes.length - 6;
    const { seen } = await run([() => body([bytes.slice(0, cut), bytes.slice(cut), done('€😀')])]);
    expect(seen.text).toBe('€😀');
  });

  it('asks again when the server is busy, and not when there is nothing', async () => {
    const busy = await run([() => new Response('', { status: 503 }), () => body([done('')])]);
    expect(busy.seen.done).toHaveLength(1);
    const gone = await run([() => new Response('', { status: 404 })]);
    expect(gone.seen.failed).toEqual([404]);
    expect(gone.asked).toHaveLength(1);
  });
});
