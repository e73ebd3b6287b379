/** The language of the app: texts, plurals, dates and numbers. One language is loaded, not all. */
import type { Key, Messages, Text } from './en';

export type Language = 'en' | 'id';
export const LANGUAGES: { code: Language; name: string }[] = [
  { code: 'en', name: 'English' },
  { code: 'id', name: 'Bahasa Indonesia' }
];
/** For languages that are to come; the layout uses logical directions throughout. */
const RIGHT_TO_LEFT: readonly string[] = ['ar', 'fa', 'he', 'ur'];
const STORED = 'terang.language';

const load: Record<Language, () => Promise<Messages>> = {
  en: async () => (await import('./en')).en,
  id: async () => (await import('./id')).id
};

let messages = $state.raw<Messages>({} as Messages);
let current = $state<Language>('en');

const known = (code: string | null | undefined): Language | null => {
  const base = code?.toLowerCase().split('-')[0];
  return LANGUAGES.find((language) => language.code === base)?.code ?? null;
};

export function preferredLanguage(): Language {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(STORED);
  } catch {
    // Then the browser's languages decide.
  }
  for (const code of [stored, ...navigator.languages]) {
    const language = known(code);
    if (language) return language;
  }
  return 'en';
}

export async function useLanguage(code: string, keep = true): Promise<void> {
  const language = known(code) ?? 'en';
  messages = await load[language]();
  current = language;
  document.documentElement.lang = language;
  document.documentElement.dir = RIGHT_TO_LEFT.includes(language) ? 'rtl' : 'ltr';
  if (!keep) return;
  try {
    localStorage.setItem(STORED, language);
  } catch {
    // Then it is asked for again.
  }
}

export const language = (): Language => current;

export function fill(
  text: Text | undefined,
  values: Record<string, string | number> | undefined,
  locale: string
): string {
  if (text === undefined) return '';
  let form: string;
  if (typeof text === 'string') form = text;
  else {
    const plural = new Intl.PluralRules(locale).select(Number(values?.['n'] ?? 0));
    form = (plural === 'one' ? text.one : undefined) ?? text.other;
  }
  if (!values) return form;
  return form.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? value.toLocaleString(locale) : value;
  });
}

export const t = (key: Key, values?: Record<string, string | number>): string =>
  fill(messages[key], values, current);

export function when(time: number, now: number = Date.now()): string {
  const sameDay = new Date(time).toDateString() === new Date(now).toDateString();
  const options: Intl.DateTimeFormatOptions = sameDay
    ? { hour: '2-digit', minute: '2-digit' }
    : { dateStyle: 'medium' };
  return new Intl.DateTimeFormat(current, options).format(time);
}

export function size(bytes: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return new Intl.NumberFormat(current, {
    style: 'unit',
    unit: units[unit] ?? 'byte',
    unitDisplay: 'short',
    maximumFractionDigits: value < 10 && unit > 0 ? 1 : 0
  }).format(value);
}
