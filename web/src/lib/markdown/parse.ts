/**
 * Markdown to tokens and to HTML. HTML in the source is text, but for a few harmless tags without
 * attributes; pictures of other places are links, since loading one tells them who reads.
 */
import { Marked, type TokenizerAndRendererExtension, type Tokens } from 'marked';

export const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const HARMLESS = /^<\/?(?:br|sub|sup|kbd|u|mark)\s*\/?>$/i;
const SAFE_LINK = /^(?:https?:\/\/|mailto:)/i;
const SAFE_IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,[a-z0-9+/=\s]+$/i;

export type MathToken = Tokens.Generic & { tex: string; display: boolean };

/** What becomes of TeX; the renderer of formulas is loaded only when one is there. */
let renderMath: ((tex: string, display: boolean) => string) | null = null;
export function setMathRenderer(render: (tex: string, display: boolean) => string): void {
  renderMath = render;
}

function mathHtml(token: Tokens.Generic): string {
  const { tex, display } = token as MathToken;
  if (renderMath) return renderMath(tex, display);
  const text = escape(tex);
  return display ? `<div class="math-source">${text}</div>` : `<span class="math-source">${text}</span>`;
}

/** A dollar before a digit and a space after it is money, not a formula. */
const INLINE_DOLLAR = /^\$(?![\s$])((?:\\.|[^\\$\n])+?)(?<![\s\\])\$(?![\d$])/;
const INLINE_PAREN = /^\\\(([\s\S]+?)\\\)/;
const INLINE_DISPLAY = /^(?:\$\$([^$]+?)\$\$|\\\[([\s\S]+?)\\\])/;
const BLOCK_DISPLAY = /^ {0,3}(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n+|$)/;

const math: TokenizerAndRendererExtension[] = [
  {
    name: 'math_block',
    level: 'block',
    start: (source) => {
      const found = /(?:^|\n) {0,3}(?:\$\$|\\\[)/.exec(source);
      if (!found) return undefined;
      return found.index + (found[0].startsWith('\n') ? 1 : 0);
    },
    tokenizer(source) {
      const match = BLOCK_DISPLAY.exec(source);
      const tex = match?.[1] ?? match?.[2];
      if (!match || tex === undefined || tex.trim() === '') return undefined;
      return { type: 'math_block', raw: match[0], tex: tex.trim(), display: true };
    },
    renderer: mathHtml
  },
  {
    name: 'math_inline',
    level: 'inline',
    start: (source) => {
      const at = source.search(/\$|\\\(|\\\[/);
      return at < 0 ? undefined : at;
    },
    tokenizer(source) {
      const display = INLINE_DISPLAY.exec(source);
      const block = display?.[1] ?? display?.[2];
      if (display && block) {
        return { type: 'math_inline', raw: display[0], tex: block.trim(), display: true };
      }
      const match = INLINE_DOLLAR.exec(source) ?? INLINE_PAREN.exec(source);
      if (!match?.[1]) return undefined;
      return { type: 'math_inline', raw: match[0], tex: match[1].trim(), display: false };
    },
    renderer: mathHtml
  }
];

/** What the sources of an answer are called, the first of which is number 1; none: its numbers are text. */
let sources: readonly string[] = [];

/** Parses Markdown whose numbers in brackets, such as [1], lead to these sources. */
export function parse(source: string, named: readonly string[] = []): string {
  sources = named;
  try {
    return marked.parse(source, { async: false });
  } finally {
    sources = [];
  }
}

/** `[1]`, and `[1, 3]`, unless it is the text of a link. */
const CITATION = /^\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\](?![([])/;

const citation: TokenizerAndRendererExtension = {
  name: 'citation',
  level: 'inline',
  start: (source) => {
    if (sources.length === 0) return undefined;
    const at = source.search(/\[\d/);
    return at < 0 ? undefined : at;
  },
  tokenizer(source) {
    const match = sources.length > 0 ? CITATION.exec(source) : null;
    if (!match?.[1]) return undefined;
    const numbers = match[1].split(',').map(Number);
    // A number that is no source's is what it says; one that the text explains itself is its link.
    if (numbers.some((n) => n < 1 || n > sources.length || this.lexer.tokens.links[String(n)])) return undefined;
    return { type: 'citation', raw: match[0], numbers };
  },
  renderer(token) {
    const links = (token['numbers'] as number[]).map((n) => {
      const name = escape(sources[n - 1] ?? '');
      return `<a class="cite" href="#source-${n}" title="${name}" aria-label="${name}">${n}</a>`;
    });
    return links.join(' ');
  }
};

export const marked = new Marked({
  gfm: true,
  breaks: false,
  extensions: [...math, citation],
  renderer: {
    html({ text }) {
      // A block of HTML comes whole: its lines are told apart by the tags that are let through.
      return text
        .split(/(<[^<>]{1,12}>)/)
        .map((part) => (HARMLESS.test(part) ? part.toLowerCase() : escape(part)))
        .join('');
    },
    link({ href, title, tokens }) {
      const inner = this.parser.parseInline(tokens);
      if (!SAFE_LINK.test(href)) return inner;
      const hint = title ? ` title="${escape(title)}"` : '';
      return `<a href="${escape(href)}"${hint}>${inner}</a>`;
    },
    image({ href, title, text }) {
      if (SAFE_IMAGE.test(href)) return `<img src="${escape(href)}" alt="${escape(text)}">`;
      const label = escape(text || title || href);
      if (!/^https?:\/\//i.test(href)) return label;
      return `<a class="picture" href="${escape(href)}">${label}</a>`;
    },
    table(token) {
      const cell = (row: Tokens.TableCell[], tag: 'th' | 'td') =>
        row
          .map((column) => {
            const side = column.align ? ` class="align-${column.align}"` : '';
            const scope = tag === 'th' ? ' scope="col"' : '';
            return `<${tag}${scope}${side}>${this.parser.parseInline(column.tokens)}</${tag}>`;
          })
          .join('');
      const body = token.rows.map((row) => `<tr>${cell(row, 'td')}</tr>`).join('');
      return (
        '<div class="table" tabindex="0" role="group">' +
        `<table><thead><tr>${cell(token.header, 'th')}</tr></thead><tbody>${body}</tbody></table></div>`
      );
    },
    checkbox({ checked }) {
      return `<span class="check" aria-hidden="true">${checked ? '☑' : '☐'}</span> `;
    },
    code({ text, lang }) {
      // Code inside of lists and quotes; a block of its own is a component.
      return `<pre tabindex="0"><code data-lang="${escape(lang ?? '')}">${escape(text)}</code></pre>`;
    }
  }
});
