/** Splits what a model thinks aloud (`<think>` at the beginning) from what it answers. */
export function thoughts(text: string): { thought: string; answer: string; open: boolean } {
  const opening = /^\s*<think>/.exec(text);
  if (!opening) return { thought: '', answer: text, open: false };
  const rest = text.slice(opening[0].length);
  const end = rest.indexOf('</think>');
  if (end < 0) return { thought: rest, answer: '', open: true };
  return { thought: rest.slice(0, end), answer: rest.slice(end + 8).replace(/^\s+/, ''), open: false };
}
