/** The list of chats beside the conversation, and the folders; other tabs are told of changes. */
import { api } from '../api/client';
import type { Chat, Folder } from '../api/types';
import type { Key } from '../i18n/en';
import { attempt, fail } from './toasts.svelte';

export type Group = { key: Key | null; label: string | null; chats: Chat[] };

const DAY_MS = 86_400_000;

/** Pinned first, then by age: the headings of the list. `month` names months long past. */
export function groupChats(chats: readonly Chat[], now: number, month: (time: number) => string): Group[] {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const heading = (chat: Chat): [Key | null, string | null] => {
    if (chat.pinned) return ['group.pinned', null];
    if (chat.updated_at >= midnight) return ['group.today', null];
    if (chat.updated_at >= midnight - DAY_MS) return ['group.yesterday', null];
    if (chat.updated_at >= midnight - 7 * DAY_MS) return ['group.week', null];
    if (chat.updated_at >= midnight - 30 * DAY_MS) return ['group.month', null];
    return [null, month(chat.updated_at)];
  };
  const groups: Group[] = [];
  for (const chat of chats) {
    const [key, label] = heading(chat);
    const last = groups.at(-1);
    if (last && last.key === key && last.label === label) last.chats.push(chat);
    else groups.push({ key, label, chats: [chat] });
  }
  return groups;
}

export const inOrder = (a: Chat, b: Chat): number =>
  Number(b.pinned) - Number(a.pinned) || b.updated_at - a.updated_at;

class Chats {
  list = $state.raw<Chat[]>([]);
  folders = $state.raw<Folder[]>([]);
  /** What the list shows: everything, the archive, or one folder. */
  archived = $state(false);
  folder = $state<string | null>(null);
  next = $state<string | null>(null);
  loaded = $state(false);
  private turn = 0;
  private channel: BroadcastChannel | null = null;

  start(): void {
    if (this.channel) return;
    this.channel = new BroadcastChannel('terang');
    this.channel.onmessage = () => void this.refresh();
    void this.refresh();
    void this.loadFolders();
  }

  private tell(): void {
    this.channel?.postMessage('chats');
  }

  private query() {
    return { archived: this.archived, ...(this.folder ? { folder: this.folder } : {}) };
  }

  async show(archived: boolean, folder: string | null): Promise<void> {
    this.archived = archived;
    this.folder = folder;
    this.list = [];
    this.loaded = false;
    await this.refresh();
  }

  async refresh(): Promise<void> {
    const turn = (this.turn += 1);
    try {
      const page = await api.chats({ ...this.query(), limit: Math.min(200, Math.max(50, this.list.length)) });
      if (turn !== this.turn) return;
      this.list = page.chats.filter((chat) => !chat.temporary);
      this.next = page.next;
      this.loaded = true;
    } catch (error) {
      if (turn === this.turn && !this.loaded) fail(error);
    }
  }

  async more(): Promise<void> {
    if (this.next === null) return;
    const turn = this.turn;
    const page = await api.chats({ ...this.query(), before: this.next });
    if (turn !== this.turn) return;
    const known = new Set(this.list.map((chat) => chat.id));
    this.list = [...this.list, ...page.chats.filter((chat) => !known.has(chat.id) && !chat.temporary)];
    this.next = page.next;
  }

  async loadFolders(): Promise<void> {
    await attempt(async () => {
      this.folders = await api.folders();
    });
  }

  /** Takes in what the server said about a chat. */
  put(chat: Chat, tell = true): void {
    const rest = this.list.filter((other) => other.id !== chat.id);
    const shown = chat.archived === this.archived && (this.folder === null || chat.folder_id === this.folder);
    this.list = (shown && !chat.temporary ? [...rest, chat] : rest).sort(inOrder);
    if (tell) this.tell();
  }

  async patch(id: string, change: Partial<Chat>): Promise<Chat | null> {
    const before = this.list;
    const known = before.find((chat) => chat.id === id);
    if (known) this.put({ ...known, ...change }, false);
    try {
      const chat = await api.patchChat(id, change);
      this.put(chat);
      return chat;
    } catch (error) {
      this.list = before;
      fail(error);
      return null;
    }
  }

  async remove(id: string): Promise<boolean> {
    const done = await attempt(() => api.deleteChat(id));
    if (done) {
      this.list = this.list.filter((chat) => chat.id !== id);
      this.tell();
    }
    return done;
  }
}

export const chats = new Chats();
