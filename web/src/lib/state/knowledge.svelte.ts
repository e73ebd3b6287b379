/** Collections of documents, which of them a chat answers from, and the passage that is shown. */
import { api } from '../api/client';
import type { ChatSettings, Collection } from '../api/types';
import { attempt } from './toasts.svelte';

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

  /** Settings with a collection chosen or not. */
  withChoice(settings: ChatSettings, id: string, on: boolean): ChatSettings {
    const others = this.named(settings.collections).map((collection) => collection.id);
    const chosen = [...others.filter((other) => other !== id), ...(on ? [id] : [])];
    const { collections: _, ...rest } = settings;
    return chosen.length > 0 ? { ...rest, collections: chosen } : rest;
  }
}

export const knowledge = new Knowledge();
