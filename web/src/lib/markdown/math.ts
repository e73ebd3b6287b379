/**
 * TeX to MathML, which browsers draw themselves: no fonts, no style attributes (which the page's
 * policy forbids), and a screen reader can read it.
 */
import katex from 'katex';
import { escape } from './parse';

export function renderTex(tex: string, display: boolean): string {
  try {
    const mathml = katex.renderToString(tex, {
      displayMode: display,
      output: 'mathml',
      throwOnError: true,
      trust: false,
      strict: 'ignore',
      maxSize: 50,
      maxExpand: 500
    });
    // The source would be read aloud a second time.
    const inner = mathml.replace(/<annotation[\s\S]*?<\/annotation>/g, '');
    return display ? `<div class="math-display">${inner}</div>` : inner;
  } catch {
    const source = `<code>${escape(tex)}</code>`;
    return display ? `<div class="math-display">${source}</div>` : source;
  }
}
