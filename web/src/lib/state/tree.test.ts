import { describe, expect, it } from 'vitest';
import type { Message } from '../api/types';
import { build, leafWithout, newestLeaf, pathTo, siblings, subtree } from './tree';

const message = (id: string, parent: string | null, role: Message['role'] = 'user'): Message => ({
  id,
  chat_id: 'c',
  parent_id: parent,
  role,
  content: id,
  status: 'done',
  error: null,
  model: null,
  attachments: [],
  sources: [],
  tool_calls: [],
  usage: null,
  created_at: 0
});

// q1 ─┬ a1 ─┬ q2 ─ a2
//     │     └ q2' ─ a2'
//     └ a1'
const messages = [
  message('q1', null),
  message('a1', 'q1', 'assistant'),
  message('q2', 'a1'),
  message('a2', 'q2', 'assistant'),
  message("a1'", 'q1', 'assistant'),
  message("q2'", 'a1'),
  message("a2'", "q2'", 'assistant')
];
const tree = build(messages);
const ids = (path: Message[]) => path.map((entry) => entry.id);

describe('the tree of messages', () => {
  it('shows the path to a leaf', () => {
    expect(ids(pathTo(tree, 'a2'))).toEqual(['q1', 'a1', 'q2', 'a2']);
    expect(ids(pathTo(tree, "a1'"))).toEqual(['q1', "a1'"]);
  });

  it('goes down by the newest child where the leaf is not known', () => {
    expect(ids(pathTo(tree, null))).toEqual(['q1', "a1'"]);
    expect(ids(pathTo(tree, 'gone'))).toEqual(['q1', "a1'"]);
    expect(newestLeaf(tree, 'a1')).toBe("a2'");
  });

  it('knows versions of a message in created order', () => {
    expect(siblings(tree, 'a1')).toEqual(['a1', "a1'"]);
    expect(siblings(tree, "q2'")).toEqual(['q2', "q2'"]);
    expect(siblings(tree, 'nobody')).toEqual([]);
  });

  it('takes a subtree whole, and shows what is nearest then', () => {
    expect([...subtree(tree, 'a1')].sort()).toEqual(['a1', 'a2', "a2'", 'q2', "q2'"]);
    expect(leafWithout(tree, 'a1')).toBe("a1'");
    expect(leafWithout(tree, "q2'")).toBe('a2');
    expect(leafWithout(tree, 'a2')).toBe('q2');
    expect(leafWithout(tree, 'q1')).toBeNull();
  });

  it('shows a message whose parent is not there, and survives a ring', () => {
    expect(ids(pathTo(build([message('x', 'lost')]), 'x'))).toEqual(['x']);
    const ring = build([message('x', 'y'), message('y', 'x')]);
    expect(ids(pathTo(ring, 'x'))).toEqual(['y', 'x']);
    expect(subtree(ring, 'x').size).toBe(2);
  });

  it('is empty where the chat is', () => {
    expect(pathTo(build([]), null)).toEqual([]);
    expect(newestLeaf(build([]), null)).toBeNull();
  });
});
