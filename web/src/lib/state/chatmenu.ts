/** What can be done with a chat, as entries of a menu: in the list and above the conversation. */
import { goto } from '$app/navigation';
import type { Chat } from '../api/types';
import type { MenuItem } from '../components/Menu.svelte';
import { t } from '../i18n/index.svelte';
import { chats } from './chats.svelte';
import { askText, confirm } from './confirm.svelte';
import { current } from './conversation.svelte';

export const titleOf = (chat: Chat): string => chat.title || t('chat.untitled');

/** The open conversation is told too. */
async function patch(chat: Chat, change: Partial<Chat>): Promise<void> {
  const saved = await chats.patch(chat.id, change);
  const open = current.open;
  if (saved && open.id === saved.id) open.chat = { ...saved, leaf_id: open.leaf };
}

export async function rename(chat: Chat): Promise<void> {
  const title = await askText(t('chat.rename'), t('chat.rename_label'), titleOf(chat), t('app.save'));
  if (title !== null) await patch(chat, { title });
}

export async function removeChat(chat: Chat): Promise<void> {
  const text = t('chat.delete_text', { title: titleOf(chat) });
  if (!(await confirm(t('chat.delete_title'), text, t('app.delete')))) return;
  if ((await chats.remove(chat.id)) && current.open.id === chat.id) await goto('/');
}

export function chatMenu(chat: Chat, share?: () => void): MenuItem[] {
  const path = `/api/chats/${encodeURIComponent(chat.id)}/export`;
  const items: MenuItem[] = [];
  if (share) items.push({ label: t('chat.share'), icon: 'share', act: share });
  items.push(
    { label: t('chat.rename'), icon: 'edit', act: () => void rename(chat) },
    {
      label: chat.pinned ? t('chat.unpin') : t('chat.pin'),
      icon: 'pin',
      act: () => void patch(chat, { pinned: !chat.pinned })
    }
  );
  if (chats.folders.length > 0) {
    const move = (folder: string | null) => () => void patch(chat, { folder_id: folder });
    items.push({
      label: t('chat.move'),
      icon: 'folder',
      items: [
        ...chats.folders.map((folder) => ({
          label: folder.name,
          checked: chat.folder_id === folder.id,
          act: move(folder.id)
        })),
        { kind: 'line' as const },
        { label: t('chat.no_folder'), checked: chat.folder_id === null, act: move(null) }
      ]
    });
  }
  items.push(
    { label: t('chat.export_markdown'), icon: 'download', href: `${path}?format=markdown`, download: true },
    { label: t('chat.export_json'), icon: 'download', href: `${path}?format=json`, download: true }
  );
  if (share) items.push({ label: t('chat.print'), icon: 'print', act: () => setTimeout(() => window.print(), 100) });
  items.push(
    {
      label: chat.archived ? t('chat.unarchive') : t('chat.archive'),
      icon: 'archive',
      act: () => void patch(chat, { archived: !chat.archived })
    },
    { kind: 'line' },
    { label: t('app.delete'), icon: 'trash', danger: true, act: () => void removeChat(chat) }
  );
  return items;
}
