/**
 * A block of Markdown to HTML that is safe to insert: written by `parse`, which lets no HTML of the
 * source through, and then cleaned by DOMPurify all the same. What was rendered once is remembered.
 */
import DOMPurify from 'dompurify';
import remend from 'remend';
import { parse, setMathRenderer } from './parse';

const CACHE_MAX = 2000;
const cache = new Map<string, string>();

const TAGS = [
  ...['p', 'br', 'hr', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'ul', 'ol', 'li', 'blockquote', 'pre', 'code'],
  ...['em', 'strong', 'del', 'a', 'img', 'sub', 'sup', 'kbd', 'u', 'mark', 'span', 'div'],
  ...['table', 'thead', 'tbody', 'tr', 'th', 'td'],
  ...['math', 'semantics', 'mrow', 'mi', 'mo', 'mn', 'ms', 'mtext', 'mspace', 'msup', 'msub', 'msubsup'],
  ...['mfrac', 'msqrt', 'mroot', 'mtable', 'mtr', 'mtd', 'mover', 'munder', 'munderover', 'mstyle'],
  ...['mpadded', 'mphantom', 'menclose', 'mmultiscripts', 'mprescripts']
];
const ATTRIBUTES = [
  ...['href', 'title', 'src', 'alt', 'class', 'start', 'tabindex', 'role', 'scope'],
  ...['aria-hidden', 'aria-label', 'data-lang', 'display', 'mathvariant', 'stretchy', 'fence', 'form'],
  ...['separator', 'accent', 'accentunder', 'rowspacing', 'columnspacing', 'columnalign', 'rowalign'],
  ...['width', 'height', 'depth', 'lspace', 'rspace', 'minsize', 'maxsize', 'scriptlevel', 'displaystyle'],
  ...['linethickness', 'notation', 'movablelimits', 'largeop', 'symmetric', 'columnlines', 'rowlines']
];

/** Within the page: written by `parse` alone, for a source of the answer. */
const CITATION = /^#source-\d{1,2}$/;
const LINK = /^(?:https?:\/\/|mailto:)/i;
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp);base64,/i;

/** An instance of our own: the hook must not reach whoever else cleans something. */
const purifier = DOMPurify(window);
purifier.addHook('afterSanitizeAttributes', (element) => {
  const href = element.getAttribute('href');
  if (href !== null) {
    if (element.localName === 'a' && LINK.test(href)) {
      // Elsewhere, in a tab of its own, and not told where the person comes from.
      element.setAttribute('target', '_blank');
      element.setAttribute('rel', 'noopener noreferrer nofollow');
    } else if (!(element.classList.contains('cite') && CITATION.test(href))) element.removeAttribute('href');
  }
  const source = element.getAttribute('src');
  if (source !== null && !(element.localName === 'img' && PICTURE.test(source))) element.removeAttribute('src');
});

/** The last line of defence: what is not on the lists does not get into the page. */
export function clean(html: string): string {
  return purifier.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false
  });
}

/** `sources`: what numbers in brackets lead to, by what their links are called. */
export function renderBlock(raw: string, links: string, growing: boolean, sources: readonly string[] = []): string {
  const whole = growing ? close(raw) : raw;
  const source = links !== '' && whole.includes('[') ? `${whole}\n\n${links}` : whole;
  // What still grows is seen once; only what is settled is worth a place.
  const key = sources.length === 0 ? source : JSON.stringify([source, ...sources]);
  const known = cache.get(key);
  if (known !== undefined) return known;
  const html = clean(parse(source, sources));
  if (!growing) {
    if (cache.size >= CACHE_MAX) {
      const oldest = cache.keys().next().value;
      if (oldest !== undefined) cache.delete(oldest);
    }
    cache.set(key, html);
  }
  return html;
}

/** Closes what the model has opened and not closed yet, so that no half mark is seen. */
function close(raw: string): string {
  return remend(raw, { inlineKatex: false, linkMode: 'text-only' });
}

let loading: Promise<void> | null = null;

/** Loads what draws formulas; what was rendered without it is forgotten. */
export function loadMath(): Promise<void> {
  loading ??= import('./math').then(({ renderTex }) => {
    setMathRenderer(renderTex);
    cache.clear();
  });
  return loading;
}
