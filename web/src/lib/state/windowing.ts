/**
 * Which of many rows of unlike height are worth drawing: pure arithmetic on heights that were
 * measured, or guessed until they are.
 */
export type Span = { start: number; end: number; before: number; after: number };

/** Lists up to this length are drawn whole. */
export const WHOLE_MAX = 60;

export function visible(
  heights: readonly number[],
  top: number,
  view: number,
  overscan: number
): Span {
  const count = heights.length;
  if (count <= WHOLE_MAX) return { start: 0, end: count, before: 0, after: 0 };
  const from = top - overscan;
  const to = top + view + overscan;
  let at = 0;
  let start = -1;
  let end = count;
  let before = 0;
  let after = 0;
  for (let index = 0; index < count; index += 1) {
    const height = heights[index] ?? 0;
    const below = at + height;
    if (start < 0 && (below > from || index === count - 1)) {
      start = index;
      before = at;
    }
    if (start >= 0 && at > to && index > start && end === count) {
      end = index;
    }
    if (index >= end) after += height;
    at = below;
  }
  return { start: Math.max(start, 0), end, before, after };
}

/** A guess at the height of a message: lines of some 70 characters of 28 pixels, and the rest. */
export function guess(text: string): number {
  const lines = text.length / 70 + (text.match(/\n/g)?.length ?? 0);
  return Math.round(72 + Math.min(lines, 4000) * 26);
}
