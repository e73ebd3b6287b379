/**
 * A chat is a tree of messages; one path from a root to a leaf is shown. Pure functions over the
 * flat list that the server sends, in the order in which messages were created.
 */
import type { Message } from '../api/types';

export type Tree = {
  byId: Map<string, Message>;
  /** Children in created order; the key of the roots is null. */
  children: Map<string | null, string[]>;
};

export function build(messages: readonly Message[]): Tree {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const children = new Map<string | null, string[]>();
  for (const message of messages) {
    // A parent that is not there would hide the message: it is shown as a root then.
    const parent = message.parent_id !== null && byId.has(message.parent_id) ? message.parent_id : null;
    const siblings = children.get(parent);
    if (siblings) siblings.push(message.id);
    else children.set(parent, [message.id]);
  }
  return { byId, children };
}

/** The messages from the root to `leaf`; the newest path where the leaf is not known. */
export function pathTo(tree: Tree, leaf: string | null): Message[] {
  let at = leaf !== null && tree.byId.has(leaf) ? leaf : newestLeaf(tree, null);
  const path: Message[] = [];
  const seen = new Set<string>();
  while (at !== null && !seen.has(at)) {
    seen.add(at);
    const message: Message | undefined = tree.byId.get(at);
    if (!message) break;
    path.push(message);
    at = message.parent_id;
  }
  return path.reverse();
}

/** Goes down from `from` by the newest child each time. */
export function newestLeaf(tree: Tree, from: string | null): string | null {
  let at = from;
  for (let steps = 0; steps <= tree.byId.size; steps += 1) {
    const next = tree.children.get(at)?.at(-1);
    if (next === undefined) return at;
    at = next;
  }
  return at;
}

export function siblings(tree: Tree, id: string): string[] {
  const message = tree.byId.get(id);
  if (!message) return [];
  const parent = message.parent_id !== null && tree.byId.has(message.parent_id) ? message.parent_id : null;
  return tree.children.get(parent) ?? [];
}

/** `id` and everything below it. */
export function subtree(tree: Tree, id: string): Set<string> {
  const found = new Set<string>();
  const open = [id];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (found.has(at)) continue;
    found.add(at);
    open.push(...(tree.children.get(at) ?? []));
  }
  return found;
}

/** What is shown when `id` and all below it are gone: the nearest sibling's branch, else the parent. */
export function leafWithout(tree: Tree, id: string): string | null {
  const all = siblings(tree, id);
  const place = all.indexOf(id);
  const neighbour = all[place - 1] ?? all[place + 1];
  if (neighbour !== undefined) return newestLeaf(tree, neighbour);
  return tree.byId.get(id)?.parent_id ?? null;
}
