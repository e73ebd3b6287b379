/** Who is here and how they like it: user, settings, theme, models. */
import { api, EMBEDDED } from '../api/client';
import type { Me, Model, UserSettings } from '../api/types';
import { useLanguage } from '../i18n/index.svelte';
import { fail } from './toasts.svelte';

const SAVE_AFTER_MS = 400;
export type Theme = 'system' | 'light' | 'dark';

class Session {
  me = $state.raw<Me | null>(null);
  settings = $state<UserSettings>({});
  models = $state.raw<Model[]>([]);
  private timer: ReturnType<typeof setTimeout> | undefined;

  get user() {
    return this.me?.user ?? null;
  }

  get accounts(): boolean {
    return this.me?.mode === 'accounts';
  }

  get administers(): boolean {
    return this.me?.mode === 'single' || this.user?.role === 'owner' || this.user?.role === 'admin';
  }

  /** Where a person has to go before the app is theirs; null if they may go on. */
  get gate(): '/setup' | '/login' | null {
    if (!this.me || this.me.mode === 'single') return null;
    if (this.me.setup_needed) return '/setup';
    return this.me.user ? null : '/login';
  }

  async load(): Promise<void> {
    this.me = await api.me();
    this.settings = { ...this.me.settings };
    // There the page around decides, and nothing is kept.
    if (EMBEDDED) return void this.loadModels();
    if (this.settings.theme) applyTheme(this.settings.theme);
    if (this.settings.language) await useLanguage(this.settings.language);
    if (this.gate === null) void this.loadModels();
  }

  async loadModels(): Promise<void> {
    try {
      this.models = await api.models();
    } catch (error) {
      fail(error);
    }
  }

  get defaultModel(): string | null {
    const wanted = this.settings.model;
    if (wanted && this.models.some((model) => model.id === wanted)) return wanted;
    return (this.models.find((model) => model.default) ?? this.models[0])?.id ?? null;
  }

  modelName(id: string | null): string {
    const known = this.models.find((model) => model.id === (id ?? this.defaultModel));
    return known?.name ?? id ?? '';
  }

  set(change: Partial<UserSettings>): void {
    Object.assign(this.settings, change);
    if (change.theme) applyTheme(change.theme);
    if (change.language) void useLanguage(change.language);
    // Nobody is signed in on some pages: then the choice is kept in this browser alone.
    if (!this.me || this.gate !== null) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      api.saveSettings($state.snapshot(this.settings)).catch(fail);
    }, SAVE_AFTER_MS);
  }
}

export const session = new Session();

export function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem('terang.theme');
    return stored === 'dark' || stored === 'light' ? stored : 'system';
  } catch {
    return 'system';
  }
}

const shown = $state({ dark: document.documentElement.classList.contains('dark') });

/** Whether the page is dark now, for what has no style of the page's: a frame. */
export const isDark = (): boolean => shown.dark;

export function showDark(dark: boolean): void {
  document.documentElement.classList.toggle('dark', dark);
  shown.dark = dark;
}

export function applyTheme(theme: Theme): void {
  const dark = theme === 'dark' || (theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  showDark(dark);
  try {
    localStorage.setItem('terang.theme', theme);
  } catch {
    // Then it holds for this page.
  }
}

export function followSystemTheme(): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => applyTheme(storedTheme()));
}
