/** Everything that the palette and the keyboard can do, with its key. */
import { goto } from '$app/navigation';
import type { IconName } from '../components/Icon.svelte';
import { copyText } from '../components/CopyButton.svelte';
import { t } from '../i18n/index.svelte';
import { thoughts } from '../markdown/thoughts';
import { chats } from './chats.svelte';
import { current } from './conversation.svelte';
import { page } from './page.svelte';
import { session } from './session.svelte';
import { note } from './toasts.svelte';

export type Command = {
  id: string;
  label: string;
  icon: IconName;
  /** As it is shown, and as `matches` reads it. */
  keys?: string;
  act: () => void;
};

function lastAnswer(): string | null {
  const message = current.open.path.findLast((other) => other.role === 'assistant');
  return message ? thoughts(current.open.textOf(message)).answer : null;
}

async function copy(text: string | null | undefined): Promise<void> {
  if (text && (await copyText(text))) note(t('app.copied'));
}

/** What reads Markdown comes with the messages, not with the list of commands. */
async function copyCode(): Promise<void> {
  const { BlockSplitter } = await import('../markdown/blocks');
  const code = new BlockSplitter().update(lastAnswer() ?? '').findLast((block) => block.kind === 'code');
  if (code?.kind === 'code') await copy(code.text);
}

export function newChat(): void {
  const conversation = current.begin();
  conversation.folder = chats.folder;
  void goto('/').then(() => page.focusComposer());
}

export function commands(): Command[] {
  const list: Command[] = [
    { id: 'new', label: t('nav.new_chat'), icon: 'compose', keys: 'Ctrl+Shift+O', act: newChat },
    { id: 'sidebar', label: t('palette.toggle_sidebar'), icon: 'sidebar', keys: 'Ctrl+Shift+S', act: () => page.toggleSidebar() },
    { id: 'focus', label: t('palette.focus'), icon: 'edit', keys: 'Shift+Escape', act: () => page.focusComposer() },
    { id: 'copy', label: t('palette.copy_answer'), icon: 'copy', keys: 'Ctrl+Shift+C', act: () => void copy(lastAnswer()) },
    { id: 'code', label: t('palette.copy_code'), icon: 'copy', keys: 'Ctrl+Shift+;', act: () => void copyCode() },
    { id: 'shortcuts', label: t('palette.shortcuts'), icon: 'keyboard', keys: 'Ctrl+/', act: () => (page.shortcuts = true) },
    { id: 'stop', label: t('palette.stop'), icon: 'stop', keys: 'Escape', act: () => void current.open.stop() },
    { id: 'settings', label: t('nav.settings'), icon: 'gear', act: () => void goto('/settings') },
    { id: 'assistants', label: t('nav.assistants'), icon: 'spark', act: () => void goto('/assistants') },
    { id: 'knowledge', label: t('nav.knowledge'), icon: 'shelf', act: () => void goto('/knowledge') },
    { id: 'prompts', label: t('nav.prompts'), icon: 'book', act: () => void goto('/prompts') },
    { id: 'archive', label: t('nav.archived'), icon: 'archive', act: () => void chats.show(true, null) },
    { id: 'light', label: t('palette.theme_light'), icon: 'sun', act: () => session.set({ theme: 'light' }) },
    { id: 'dark', label: t('palette.theme_dark'), icon: 'sun', act: () => session.set({ theme: 'dark' }) },
    { id: 'system', label: t('palette.theme_system'), icon: 'sun', act: () => session.set({ theme: 'system' }) }
  ];
  if (session.administers) {
    list.push({ id: 'admin', label: t('nav.admin'), icon: 'people', act: () => void goto('/admin') });
  }
  return list;
}

export function matches(event: KeyboardEvent, keys: string): boolean {
  const parts = keys.split('+');
  const key = parts.at(-1) ?? '';
  const control = parts.includes('Ctrl');
  const shift = parts.includes('Shift');
  // A key that needs Shift on some keyboards (`;`, `/`) is known by either of its signs.
  const same = event.key.toLowerCase() === key.toLowerCase() || (key === ';' && event.key === ':');
  return same && control === (event.ctrlKey || event.metaKey) && shift === event.shiftKey && !event.altKey;
}

/** Runs the command of a key; the palette has a key of its own. */
export function onShortcut(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  if (matches(event, 'Ctrl+K')) {
    event.preventDefault();
    page.palette = !page.palette;
    return;
  }
  // A dialog or a menu has the keys to itself.
  if (document.querySelector('[role=dialog],[role=menu]')) return;
  for (const command of commands()) {
    if (!command.keys || !matches(event, command.keys)) continue;
    if (command.id === 'stop' && !current.open.streaming) return;
    event.preventDefault();
    command.act();
    return;
  }
}
