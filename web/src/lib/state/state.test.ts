import { beforeEach, describe, expect, it } from 'vitest';
import { uuidv7 } from '../api/uuid';
import type { Chat, Prompt } from '../api/types';
import { groupChats, inOrder } from './chats.svelte';
import { loadDraft, saveDraft } from './drafts';
import { matching } from './prompts.svelte';
import { guess, visible, WHOLE_MAX } from './windowing';

describe('which rows are drawn', () => {
  const heights = Array.from({ length: 2000 }, (_, index) => 40 + ((index * 97) % 700));
  const total = heights.reduce((sum, height) => sum + height, 0);

  it('covers the view, keeps the whole height, and draws few', () => {
    for (let top = 0; top < total; top += 12_347) {
      const span = visible(heights, top, 800, 1200);
      const drawn = heights.slice(span.start, span.end).reduce((sum, height) => sum + height, 0);
      expect(span.before + drawn + span.after).toBe(total);
      expect(span.before).toBeLessThanOrEqual(Math.max(0, top - 1200) + 740);
      expect(span.before).toBeLessThanOrEqual(top);
      expect(span.before + drawn).toBeGreaterThanOrEqual(Math.min(total, top + 800));
      expect(span.end - span.start).toBeLessThan(100);
    }
  });

  it('is everything for a short list, and for paper', () => {
    const short = heights.slice(0, WHOLE_MAX);
    expect(visible(short, 9999, 100, 0)).toEqual({ start: 0, end: WHOLE_MAX, before: 0, after: 0 });
    expect(visible(heights, 0, Infinity, 0)).toEqual({ start: 0, end: 2000, before: 0, after: 0 });
  });

  it('stays sound past the end', () => {
    const span = visible(heights, total + 5000, 800, 100);
    expect(span.start).toBe(1999);
    expect(span.end).toBe(2000);
  });

  it('guesses more for more text', () => {
    expect(guess('a'.repeat(7000))).toBeGreaterThan(guess('short'));
    expect(Number.isFinite(guess('\n'.repeat(1_000_000)))).toBe(true);
  });
});

describe('the list of chats', () => {
  const now = new Date(2026, 10, 25, 12).getTime();
  const day = 86_400_000;
  const chat = (id: string, age: number, pinned = false) =>
    ({ id, title: id, pinned, updated_at: now - age * day, archived: false }) as Chat;

  it('is grouped by date, with pinned chats first', () => {
    const chats = [chat('old', 90), chat('a', 0), chat('p', 400, true), chat('b', 1), chat('c', 5), chat('d', 20)];
    const groups = groupChats(chats.sort(inOrder), now, () => 'August 2026');
    expect(groups.map((group) => [group.key ?? group.label, group.chats.map((entry) => entry.id)])).toEqual([
      ['group.pinned', ['p']],
      ['group.today', ['a']],
      ['group.yesterday', ['b']],
      ['group.week', ['c']],
      ['group.month', ['d']],
      ['August 2026', ['old']]
    ]);
  });

  it('puts a chat of tomorrow, of a clock that is wrong, under today', () => {
    expect(groupChats([chat('x', -3)], now, () => '')[0]?.key).toBe('group.today');
  });
});

describe('drafts', () => {
  beforeEach(() => localStorage.clear());

  it('are kept per chat and go when they are empty', () => {
    saveDraft(null, 'new');
    saveDraft('a', 'of a');
    expect(loadDraft(null)).toBe('new');
    expect(loadDraft('a')).toBe('of a');
    saveDraft('a', '  ');
    expect(loadDraft('a')).toBe('');
  });

  it('make room for newer ones', () => {
    for (let index = 0; index < 80; index += 1) saveDraft(`chat ${index}`, 'text', index);
    expect(localStorage.length).toBeLessThanOrEqual(51);
    expect(loadDraft('chat 79')).toBe('text');
    expect(loadDraft('chat 0')).toBe('');
  });

  it('survive storage that holds something else', () => {
    localStorage.setItem('terang.draft.x', 'not json');
    expect(loadDraft('x')).toBe('');
  });
});

describe('ids', () => {
  it('are UUIDs of version 7, in the order of time', () => {
    const id = uuidv7();
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(uuidv7(1000) < uuidv7(2000)).toBe(true);
    expect(Number.parseInt(uuidv7(1_764_000_000_000).replaceAll('-', '').slice(0, 12), 16)).toBe(1_764_000_000_000);
  });
});

describe('prompts after a slash', () => {
  it('match by a part of the name', () => {
    const prompts = ['Summary', 'sum up', 'Translate'].map((name) => ({ id: name, name, text: '' }) as Prompt);
    expect(matching(prompts, 'sum').map((prompt) => prompt.name)).toEqual(['Summary', 'sum up']);
    expect(matching(prompts, '')).toHaveLength(3);
  });
});
