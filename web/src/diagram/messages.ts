/** What page and frame say to each other; the page believes nothing of it that it has not looked at. */

/** From the page: draw this. */
export type Ask = { source: string; dark: boolean };

/** From the frame. */
export type Told = { kind: 'ready' } | { kind: 'drawn'; width: number; height: number } | { kind: 'failed'; why: string };

/** Longer sources are shown as they are. */
export const SOURCE_MAX = 20_000;
/** A frame that has not drawn by then is taken away, with whatever it is doing. */
export const DRAW_MAX_MS = 20_000;
const SIZE_MAX = 20_000;

/** What the frame said, or null: it runs what strangers wrote. */
export function understood(data: unknown): Told | null {
  if (typeof data !== 'object' || data === null) return null;
  const { kind, width, height, why } = data as Record<string, unknown>;
  if (kind === 'ready') return { kind };
  if (kind === 'failed') return { kind, why: typeof why === 'string' ? why.slice(0, 400) : '' };
  const isSize = (value: unknown): value is number => typeof value === 'number' && value > 0 && value < SIZE_MAX;
  if (kind === 'drawn' && isSize(width) && isSize(height)) return { kind, width, height };
  return null;
}
