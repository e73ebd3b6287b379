/** What was typed and not yet sent, per chat, kept in this browser until the server has it. */
import { EMBEDDED } from '../api/client';

const PREFIX = 'terang.draft.';
const KEEP_MAX = 50;

const key = (chat: string | null) => `${PREFIX}${chat ?? 'new'}`;

export function loadDraft(chat: string | null): string {
  if (EMBEDDED) return '';
  try {
    const stored = localStorage.getItem(key(chat));
    return stored === null ? '' : ((JSON.parse(stored) as { text?: string }).text ?? '');
  } catch {
    return '';
  }
}

export function saveDraft(chat: string | null, text: string, now: number = Date.now()): void {
  // The browser may be somebody else's there, who also uses the app itself.
  if (EMBEDDED) return;
  try {
    if (text.trim() === '') localStorage.removeItem(key(chat));
    else {
      localStorage.setItem(key(chat), JSON.stringify({ text, at: now }));
      prune();
    }
  } catch {
    // Storage is full or forbidden: the text is still in the field.
  }
}

/** Drafts of chats that nobody came back to make room for newer ones. */
function prune(): void {
  const found: { key: string; at: number }[] = [];
  for (let index = 0; index < localStorage.length; index += 1) {
    const name = localStorage.key(index);
    if (!name?.startsWith(PREFIX)) continue;
    const at = Number((JSON.parse(localStorage.getItem(name) ?? '{}') as { at?: number }).at ?? 0);
    found.push({ key: name, at });
  }
  if (found.length <= KEEP_MAX) return;
  found.sort((a, b) => a.at - b.at);
  for (const draft of found.slice(0, found.length - KEEP_MAX)) localStorage.removeItem(draft.key);
}
