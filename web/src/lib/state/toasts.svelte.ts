/** Short notes at the edge of the page; errors stay until they are read. */
import { ApiError } from '../api/client';
import { t } from '../i18n/index.svelte';

export type Toast = { id: number; text: string; kind: 'note' | 'error' };

let next = 0;
export const toasts = $state<Toast[]>([]);

export function dismiss(id: number): void {
  const at = toasts.findIndex((toast) => toast.id === id);
  if (at >= 0) toasts.splice(at, 1);
}

export function note(text: string, kind: Toast['kind'] = 'note'): void {
  const id = (next += 1);
  toasts.push({ id, text, kind });
  if (toasts.length > 4) toasts.shift();
  setTimeout(() => dismiss(id), kind === 'note' ? 2500 : 8000);
}

export const reason = (error: unknown): string => {
  if (error instanceof ApiError && error.offline) return t('app.offline');
  return error instanceof Error ? error.message : String(error);
};

export const fail = (error: unknown): void => note(t('app.failed', { why: reason(error) }), 'error');

/** Runs `action` and says what went wrong, if anything; true if nothing did. */
export async function attempt(action: () => Promise<unknown>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}
