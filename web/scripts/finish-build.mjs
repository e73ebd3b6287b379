// After the build: SvelteKit starts the app from a script inside of the page, which the policy
// forbids. The script moves into a file that is named by its content, and then nothing inline is left.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';

const page = new URL('../build/index.html', import.meta.url);
let html = readFileSync(page, 'utf8');

const inline = [...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g)];
if (inline.length !== 1) throw new Error(`expected one inline script, found ${inline.length}`);
let [whole, script] = inline[0];
// The element to mount into is found from the script's place in the page; a file has no such place.
script = script
  .replace('document.currentScript.parentElement', "document.getElementById('app')")
  // A module is strict: what is to be global has to say so.
  .replace(/^(\s*)(__sveltekit_\w+) =/m, '$1globalThis.$2 =')
  .replace(/^\t+/gm, '')
  .trim();
if (script.includes('currentScript')) throw new Error('the start script has changed');
const digest = createHash('sha256').update(script).digest('base64url').slice(0, 8);
const name = `app/start.${digest}.js`;
writeFileSync(new URL(`../build/${name}`, import.meta.url), `${script}\n`);
html = html.replace(whole, `<script type="module" src="/${name}"></script>`);

if (/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/i.test(html)) {
  throw new Error('something inline is left in index.html');
}
writeFileSync(page, html);
// Nobody asks for it: pages are never told to reload by themselves.
rmSync(new URL('../build/app/version.json', import.meta.url), { force: true });

// The page of the frame that draws diagrams: a script, and nothing of the app.
const frames = readdirSync(new URL('../build/diagram/immutable', import.meta.url));
if (frames.length !== 1) throw new Error(`expected one script of the diagrams' frame, found ${frames.length}`);
writeFileSync(
  new URL('../build/diagram/frame.html', import.meta.url),
  `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Diagram</title>
    <style>
      html, body { margin: 0; height: 100%; overflow: hidden; background: transparent; }
      svg { display: block; }
    </style>
  </head>
  <body>
    <script src="/diagram/immutable/${frames[0]}"></script>
  </body>
</html>
`
);
