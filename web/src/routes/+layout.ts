import { preferredLanguage, useLanguage } from '$lib/i18n/index.svelte';

// One page for all addresses; the server gives the same file for each.
export const ssr = false;
export const prerender = false;

export async function load(): Promise<void> {
  await useLanguage(preferredLanguage(), false);
}
