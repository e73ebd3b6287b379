/** The prompt library and the assistants: read once, changed in place. */
import { api } from '../api/client';
import type { Assistant, Prompt } from '../api/types';
import { attempt } from './toasts.svelte';

class Library {
  prompts = $state.raw<Prompt[]>([]);
  assistants = $state.raw<Assistant[]>([]);
  private loaded = false;

  async load(): Promise<void> {
    if (this.loaded) return;
    this.loaded = await attempt(async () => {
      [this.prompts, this.assistants] = await Promise.all([api.prompts(), api.assistants()]);
    });
  }
}

export const library = new Library();

/** The prompts that a text after `/` may mean. */
export function matching(prompts: readonly Prompt[], typed: string): Prompt[] {
  const wanted = typed.toLocaleLowerCase();
  return prompts.filter((prompt) => prompt.name.toLocaleLowerCase().includes(wanted)).slice(0, 8);
}
