/**
 * Splits Markdown into its top-level blocks, and does so again and again while the text grows: only
 * the last blocks can change when something is added, so only they are read anew. The result is
 * always that of reading the whole; a test holds it to that.
 */
import type { Token } from 'marked';
import { marked } from './parse';

export type Block =
  | { kind: 'html'; raw: string; math: boolean }
  | { kind: 'code'; raw: string; lang: string; text: string; closed: boolean };

type Placed = { block: Block; start: number };

/** A list takes later paragraphs in, a paragraph an underline: two blocks are never settled. */
const UNSETTLED = 2;

export class BlockSplitter {
  private text = '';
  private placed: Placed[] = [];
  private definitions = '';

  /** The blocks of `text`; quick where it is the text of before with something added. */
  update(text: string): Block[] {
    let from = 0;
    let kept: Placed[] = [];
    // A definition may be used by any block before it: then the whole is read again.
    if (this.placed.length > UNSETTLED && text.startsWith(this.text)) {
      const settled = this.placed.length - UNSETTLED;
      kept = this.placed.slice(0, settled);
      from = this.placed[settled]?.start ?? 0;
    }
    this.text = text;
    const tokens = marked.lexer(text.slice(from));
    let at = from;
    const definitions: string[] = from === 0 ? [] : [this.definitions];
    for (const token of tokens) {
      if (token.type === 'def') definitions.push(token.raw.trim());
      else if (token.type !== 'space') kept.push({ block: blockOf(token), start: at });
      at += token.raw.length;
    }
    this.placed = kept;
    this.definitions = [...new Set(definitions.filter(Boolean))].join('\n');
    return kept.map((placed) => placed.block);
  }

  /** Link definitions of the whole text, to be read with each block that may use them. */
  get links(): string {
    return this.definitions;
  }
}

const MATH = /\$|\\\(|\\\[/;

function blockOf(token: Token): Block {
  if (token.type === 'code') {
    const fence = /^ {0,3}(`{3,}|~{3,})/.exec(token.raw)?.[1];
    const closed = fence === undefined || closes(token.raw, fence);
    const lang = String(token['lang'] ?? '').trim().split(/\s+/)[0] ?? '';
    return { kind: 'code', raw: token.raw, lang, text: String(token['text']), closed };
  }
  return { kind: 'html', raw: token.raw, math: MATH.test(token.raw) };
}

function closes(raw: string, fence: string): boolean {
  const lines = raw.trimEnd().split('\n');
  const last = lines.at(-1)?.trim() ?? '';
  return lines.length > 1 && last.startsWith(fence) && new Set(last).size === 1;
}
