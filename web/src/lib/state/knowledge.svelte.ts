/** Collections of documents, which of them a chat answers from, and the passage that is shown. */
import { api, ApiError } from '../api/client';
import type { ChatSettings, Collection } from '../api/types';
import type { Key } from '../i18n/en';
import { t } from '../i18n/index.svelte';
import { attempt, reason } from './toasts.svelte';

/** Reasons for which the server refuses a document, of which there is a text in each language. */
const WHY = ['unknown_format', 'picture', 'picture_unsupported', 'picture_too_large', 'picture_too_many_pixels', 'picture_damaged', 'not_text', 'file_too_large', 'too_much_text', 'too_many_pages', 'unpacks_to_too_much', 'locked', 'damaged', 'no_text', 'too_slow', 'broke_off', 'unavailable'];

/** Why a document cannot be read, by the server's word for it; else as the server says it. */
export function whyUnread(code: string | null | undefined, said: string): string {
  return code != null && WHY.includes(code) ? t(`knowledge.why.${code}` as Key) : said;
}

/** Why a file was not taken, with its name. */
export function whyRefused(name: string, error: unknown): string {
  const said = reason(error);
  const why = error instanceof ApiError ? whyUnread(error.code, said) : said;
  return why.startsWith(`${name}: `) ? why : `${name}: ${why}`;
}

class Knowledge {
  collections = $state.raw<Collection[]>([]);
  loaded = $state(false);
  /** The passage in the side panel. */
  shown = $state.raw<{ document: string; passage: number } | null>(null);
  private loading: Promise<void> | null = null;

  /** Reads the list once; `fresh` reads it again. */
  async load(fresh = false): Promise<void> {
    if (this.loaded && !fresh) return;
    this.loading ??= attempt(async () => {
      this.collections = await api.collections();
      this.loaded = true;
    }).then(() => {
      this.loading = null;
    });
    await this.loading;
  }

  /** Those of the identities that there are; a chat may name one that was deleted. */
  named(ids: readonly string[] | undefined): Collection[] {
    return this.collections.filter((collection) => ids?.includes(collection.id));
  }

  /** Settings without collections that are gone. */
  present(settings: ChatSettings): ChatSettings {
    const ids = this.named(settings.collections).map((collection) => collection.id);
    const { collections: _, ...rest } = settings;
    return ids.length > 0 ? { ...rest, collections: ids } : rest;
  }

  /** Settings with a collection chosen or not. */
  withChoice(settings: ChatSettings, id: string, on: boolean): ChatSettings {
    const others = (settings.collections ?? []).filter((other) => other !== id);
    return this.present({ ...settings, collections: on ? [...others, id] : others });
  }
}

export const knowledge = new Knowledge();
