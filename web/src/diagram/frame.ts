/**
 * What runs in the frame that draws a diagram. The frame has no origin of its own, no network and no
 * way to the page but messages: it is told a source and answers with a size, and the drawing stays
 * here. What Mermaid lets through is cleaned a second time all the same.
 */
import mermaid from 'mermaid';
import type { Ask, Told } from './messages';

/** Keys that a diagram's own `%%{init}%%` and front matter cannot set. */
const FIXED = [
  ...['secure', 'securityLevel', 'startOnLoad', 'maxTextSize', 'maxEdges', 'suppressErrorRendering'],
  ...['dompurifyConfig', 'htmlLabels', 'themeCSS', 'fontFamily', 'altFontFamily', 'legacyMathML', 'forceLegacyMathML'],
  ...['logLevel', 'deterministicIds', 'deterministicIDSeed', 'arrowMarkerAbsolute', 'darkMode']
];
const EDGES_MAX = 400;
const TEXT_MAX = 50_000;
const SIZE_MAX = 20_000;
const WHY_MAX = 400;

const tell = (told: Told): void => parent.postMessage(told, '*');

/** References to anything but a part of the drawing itself. */
const ELSEWHERE = /url\(\s*(?!["']?#)[^)]*\)|@import[^;]*;?|image-set\([^)]*\)|expression\(/gi;

/** Takes out whatever could run, lead away or load. */
function harmless(svg: string): SVGSVGElement {
  const parsed = new DOMParser().parseFromString(svg, 'text/html');
  const root = parsed.querySelector('svg');
  if (!root) throw new Error('nothing was drawn');
  for (const bad of root.querySelectorAll('script, iframe, object, embed, form, input, button, link, meta, base, image, img, video, audio, animate, set, animateTransform, animateMotion, feImage')) bad.remove();
  for (const element of [root, ...root.querySelectorAll('*')]) {
    for (const { name, value } of [...element.attributes]) {
      const at = name.toLowerCase();
      const isLink = at === 'href' || at.endsWith(':href') || at === 'src' || at === 'ping' || at === 'target' || at === 'srcdoc' || at === 'action';
      if (at.startsWith('on') || (isLink && !value.startsWith('#'))) element.removeAttribute(name);
      else if (/url\(|@import|image-set|expression/i.test(value)) element.setAttribute(name, value.replace(ELSEWHERE, 'none'));
    }
    if (element.localName === 'style') element.textContent = (element.textContent ?? '').replace(ELSEWHERE, '');
    if (element.localName === 'a') element.removeAttribute('href');
  }
  return document.importNode(root, true) as SVGSVGElement;
}

async function draw({ source, dark }: Ask): Promise<void> {
  document.documentElement.style.colorScheme = dark ? 'dark' : 'light';
  mermaid.initialize({
    startOnLoad: false,
    securityLevel: 'strict',
    secure: FIXED,
    suppressErrorRendering: true,
    maxEdges: EDGES_MAX,
    maxTextSize: TEXT_MAX,
    htmlLabels: false,
    flowchart: { htmlLabels: false },
    fontFamily: 'ui-sans-serif, system-ui, sans-serif',
    theme: dark ? 'dark' : 'default',
    darkMode: dark
  });
  const { svg } = await mermaid.render('drawing', source);
  const root = harmless(svg);
  const box = root.getAttribute('viewBox')?.split(/[\s,]+/).map(Number) ?? [];
  const [width = 0, height = 0] = box.slice(2);
  if (!(width > 0 && height > 0 && width < SIZE_MAX && height < SIZE_MAX)) throw new Error('the drawing has no size that could be shown');
  root.setAttribute('width', '100%');
  root.setAttribute('height', '100%');
  root.removeAttribute('style');
  root.setAttribute('role', 'img');
  document.body.replaceChildren(root);
  tell({ kind: 'drawn', width, height });
}

addEventListener('message', (event: MessageEvent<Ask>) => {
  if (event.source !== parent || typeof event.data?.source !== 'string') return;
  draw(event.data).catch((error: unknown) => {
    document.body.replaceChildren();
    const why = error instanceof Error ? error.message : String(error);
    tell({ kind: 'failed', why: why.slice(0, WHY_MAX) });
  });
});
tell({ kind: 'ready' });
