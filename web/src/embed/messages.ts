/**
 * What a page of another application and the frame inside of it say to each other. The element
 * (`terang-chat.ts`) speaks for the page; the frame looks at all of it before it believes any.
 */

/** Colours and letters that a page may give the frame: its own variable, and ours. */
export const LOOKS: Record<string, string> = {
  '--terang-ground': '--ground',
  '--terang-raised': '--raised',
  '--terang-bubble': '--bubble',
  '--terang-hover': '--hover',
  '--terang-active': '--active',
  '--terang-line': '--line',
  '--terang-line-strong': '--line-strong',
  '--terang-ink': '--ink',
  '--terang-soft': '--soft',
  '--terang-accent': '--accent',
  '--terang-accent-fill': '--accent-fill',
  '--terang-danger': '--danger'
};

export type Theme = 'light' | 'dark' | 'system';

/** From the page. */
export type Wish = {
  terang: 1;
  token: string | null;
  assistant: string | null;
  lang: string | null;
  theme: Theme;
  looks: Record<string, string>;
};

/** From the frame. */
export type Say = { terang: 1; kind: 'hello' | 'ready' | 'token' } | { terang: 1; kind: 'error'; message: string };

const TOKEN_MAX = 8192;
const text = (value: unknown, max: number): string | null => (typeof value === 'string' && value.length <= max && value !== '' ? value : null);

/** What a page asks for, or null where that is not what it sent. */
export function wishOf(data: unknown): Wish | null {
  if (typeof data !== 'object' || data === null) return null;
  const { terang, token, assistant, lang, theme, looks } = data as Record<string, unknown>;
  if (terang !== 1) return null;
  const known: Record<string, string> = {};
  if (typeof looks === 'object' && looks !== null) {
    for (const name of Object.keys(LOOKS)) {
      const value = (looks as Record<string, unknown>)[name];
      if (typeof value === 'string' && isColour(value)) known[name] = value.trim();
    }
  }
  return {
    terang: 1,
    token: text(token, TOKEN_MAX),
    assistant: text(assistant, 200),
    lang: text(lang, 20),
    theme: theme === 'light' || theme === 'dark' ? theme : 'system',
    looks: known
  };
}

/** Plain colours alone: nothing that loads, counts or refers to anything. */
export function isColour(value: string): boolean {
  return value.length <= 80 && /^\s*(?:#[0-9a-f]{3,8}|[a-z]{3,30}|(?:rgb|rgba|hsl|hsla|oklch|oklab|lab|lch)\([-+0-9.%,/\sa-z]*\))\s*$/i.test(value);
}
