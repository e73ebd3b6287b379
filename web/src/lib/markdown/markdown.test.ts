import { beforeAll, describe, expect, it } from 'vitest';
import { BlockSplitter, type Block } from './blocks';
import { ATTACKS } from './corpus';
import { highlight } from './highlight';
import { clean, loadMath, renderBlock } from './render';
import { thoughts } from './thoughts';

const DOCUMENT = `# Title

A paragraph with **bold**, _it_ and \`code\`.
Second line.

Setext
======

- one
- two

  still two
- three

| a | b |
| --- | --- |
| 1 | 2 |

\`\`\`rust
fn main() {}

// after a blank line
\`\`\`

    indented

1. first

   \`\`\`
   inside of a list
   \`\`\`
2. second

> quote
continued

$$
x^2
$$

Text [ref] and <br> more.

---

<div>
html

</div>

[ref]: https://example.org
`;

/** What is shown: the blocks without those at the end that are made of nothing. */
const shape = (blocks: Block[]) => blocks.map((block) => ({ kind: block.kind, raw: block.raw.trimEnd() }));

describe('blocks of a text that grows', () => {
  it('are those of the whole text, at every length', () => {
    const growing = new BlockSplitter();
    for (let end = 0; end <= DOCUMENT.length; end += 1) {
      const text = DOCUMENT.slice(0, end);
      expect(shape(growing.update(text))).toEqual(shape(new BlockSplitter().update(text)));
    }
    expect(growing.links).toContain('https://example.org');
  });

  it('are those of the whole for pieces of any length', () => {
    for (const step of [2, 3, 5, 7, 13, 40, 111]) {
      const growing = new BlockSplitter();
      for (let end = step; end < DOCUMENT.length; end += step) growing.update(DOCUMENT.slice(0, end));
      expect(shape(growing.update(DOCUMENT))).toEqual(shape(new BlockSplitter().update(DOCUMENT)));
    }
  });

  it('keep their identity when they are settled, so that nothing is drawn again', () => {
    const growing = new BlockSplitter();
    const first = growing.update('one\n\ntwo\n\nthree\n\nfour');
    const second = growing.update('one\n\ntwo\n\nthree\n\nfour and more');
    expect(second[0]).toBe(first[0]);
    expect(second[1]).toBe(first[1]);
  });

  it('start anew for another text', () => {
    const growing = new BlockSplitter();
    growing.update('one\n\ntwo\n\nthree\n\nfour');
    expect(growing.update('other').map((block) => block.raw)).toEqual(['other']);
  });

  it('know code, its language and its end', () => {
    const [open] = new BlockSplitter().update('```python\nprint(1)');
    expect(open).toMatchObject({ kind: 'code', lang: 'python', text: 'print(1)', closed: false });
    const [closed] = new BlockSplitter().update('```python\nprint(1)\n```\n');
    expect(closed).toMatchObject({ kind: 'code', closed: true });
  });
});

describe('a block', () => {
  it('shows no half mark while it grows', () => {
    expect(renderBlock('some **bo', '', true)).toContain('<strong>bo</strong>');
    expect(renderBlock('see [the page](https://exa', '', true)).not.toContain('](');
    expect(renderBlock('a `code', '', true)).toContain('<code>code</code>');
  });

  it('uses definitions of links from elsewhere', () => {
    expect(renderBlock('see [x]', '[x]: https://example.org', false)).toContain('href="https://example.org"');
  });

  it('opens links elsewhere and tells them nothing', () => {
    expect(renderBlock('<https://example.org>', '', false)).toContain('rel="noopener noreferrer nofollow"');
  });

  it('leaves money alone', () => {
    const html = renderBlock('It costs $5 or $6, at most US$7-$8.', '', false);
    expect(html).toContain('It costs $5 or $6, at most US$7-$8.');
  });

  it('leads from numbers in brackets to the sources of an answer, and nowhere else', () => {
    const sources = ['Open source 1: a "b" <i>.md', 'Open source 2: c.md'];
    const show = (text: string) => {
      const shown = document.createElement('div');
      shown.innerHTML = renderBlock(text, '', false, sources);
      return [...shown.querySelectorAll('a')].map((link) => `${link.getAttribute('href')} ${link.title} ${link.textContent}`);
    };
    expect(show('Twelve days [1], as always [1, 2].')).toEqual([
      '#source-1 Open source 1: a "b" <i>.md 1',
      '#source-1 Open source 1: a "b" <i>.md 1',
      '#source-2 Open source 2: c.md 2'
    ]);
    for (const text of ['`[1]`', '[3]', '[0]', '[1][x]', 'a[100]', '[x](#source-1)', '<a class="cite" href="#source-1">1</a>']) expect(show(text), text).toEqual([]);
    expect(show('[1](https://example.org)')).toEqual(['https://example.org  1']);
    expect(show('see [1]\n\n[1]: https://example.org')).toEqual(['https://example.org  1']);
    // The same text of an answer without sources.
    expect(renderBlock('Twelve days [1], as always [1, 2].', '', false)).not.toContain('<a');
  });

  it('lets a line break into a table', () => {
    expect(renderBlock('| a |\n| - |\n| x<br>y |', '', false)).toContain('x<br>y');
  });
});

describe('thoughts', () => {
  it('are told from the answer', () => {
    expect(thoughts('plain')).toEqual({ thought: '', answer: 'plain', open: false });
    expect(thoughts('<think>hm')).toEqual({ thought: 'hm', answer: '', open: true });
    expect(thoughts('<think>hm</think>\n\nyes')).toEqual({ thought: 'hm', answer: 'yes', open: false });
  });
});

/** No element or attribute in which anything runs, loads or covers the page. */
function harmless(html: string, attack: string): void {
  const host = document.createElement('div');
  host.innerHTML = html;
  for (const element of host.querySelectorAll('*')) {
    const name = element.localName;
    const forbidden = ['script', 'style', 'iframe', 'object', 'embed', 'form', 'input', 'svg', 'link', 'meta', 'base', 'video', 'template', 'details'];
    expect(forbidden, attack).not.toContain(name);
    for (const attribute of element.attributes) {
      expect(attribute.name.startsWith('on'), `${attack}: ${attribute.name}`).toBe(false);
      expect(['style', 'srcdoc', 'srcset', 'id', 'name'], attack).not.toContain(attribute.name);
      if (attribute.name === 'href') expect(attribute.value, attack).toMatch(/^(?:https?:|mailto:)/i);
      if (attribute.name === 'src') expect(attribute.value, attack).toMatch(/^data:image\/(?:png|jpeg|gif|webp);/i);
    }
  }
}

describe('attacks', () => {
  for (const withMath of [false, true]) {
    describe(withMath ? 'with formulas drawn' : 'before formulas are drawn', () => {
      beforeAll(async () => {
        if (withMath) await loadMath();
      });

      it('do nothing as whole texts', () => {
        for (const attack of ATTACKS) {
          const splitter = new BlockSplitter();
          for (const block of splitter.update(attack)) {
            harmless(renderBlock(block.raw, splitter.links, false), attack);
          }
        }
      });

      it('do nothing at any length, as a stream brings them', () => {
        for (const attack of ATTACKS) {
          const splitter = new BlockSplitter();
          for (let end = 1; end <= attack.length; end += 2) {
            for (const block of splitter.update(`Look:\n\n${attack.slice(0, end)}`)) {
              harmless(renderBlock(block.raw, splitter.links, true), attack);
            }
          }
        }
      }, 120_000);
    });
  }

  it('do nothing in code that is coloured', () => {
    for (const attack of ATTACKS) {
      for (const language of ['xml', 'javascript', 'markdown']) {
        harmless(clean(highlight(attack, language) ?? ''), attack);
      }
    }
  });

  it('would be seen by this test', () => {
    expect(() => harmless('<img src=x onerror=1>', 'a bad one')).toThrow();
    expect(() => harmless('<a href="javascript:1">x</a>', 'a bad one')).toThrow();
  });

  it('are stopped by the last line of defence alone, too', () => {
    for (const attack of ATTACKS) harmless(clean(attack), attack);
  });
});

describe('formulas', () => {
  it('become MathML without styles', async () => {
    await loadMath();
    const html = renderBlock('so $e^{i\\pi}+1=0$ and \\(a_1\\)', '', false);
    expect(html).toContain('<msup>');
    expect(html).toContain('<msub>');
    expect(html).not.toContain('style=');
  });

  it('show their source where it is wrong', async () => {
    await loadMath();
    expect(renderBlock('$\\frac{1$', '', false)).toContain('\\frac{1');
  });

  it('cannot be a bomb', async () => {
    await loadMath();
    const bomb = '$\\def\\a{\\b\\b}\\def\\b{\\c\\c}\\def\\c{\\a\\a}\\a$';
    const started = performance.now();
    expect(renderBlock(bomb, '', false)).toContain('<code>');
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
