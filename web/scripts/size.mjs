// What a first visit loads of script and style before the parts that come later, compressed. Fails
// above the limit, so that the app stays quick on a bad line.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const LIMIT_KB = 150;
const build = new URL('../build/', import.meta.url);
const read = (path) => readFileSync(new URL(path.replace(/^\//, ''), build));
const html = read('index.html').toString();
const first = new Set([...html.matchAll(/(?:href|src)="(\/[^"]+\.(?:js|css))"/g)].map((match) => match[1]));

// What those import at once, and the chunks of the first page and one language.
const manifest = JSON.parse(readFileSync(new URL('../.svelte-kit/output/client/.vite/manifest.json', import.meta.url)));
const seen = new Set();
const add = (key) => {
  const chunk = manifest[key];
  if (!chunk || seen.has(key)) return;
  seen.add(key);
  first.add(`/${chunk.file}`);
  for (const css of chunk.css ?? []) first.add(`/${css}`);
  for (const next of chunk.imports ?? []) add(next);
};
const roots = Object.keys(manifest).filter(
  (key) => /client\/(?:entry\/|start|app)|nodes\/(?:0|1|2|3|4)\.js$/.test(key) || manifest[key].isEntry
);
for (const key of roots.filter((key) => /entry|start|\/app\.js/.test(key))) add(key);
for (const route of ['src/routes/+layout.svelte', 'src/routes/(app)/+layout.svelte', 'src/routes/(app)/+page.svelte', 'src/routes/+layout.ts', 'src/lib/i18n/en.ts']) {
  for (const key of Object.keys(manifest)) if (manifest[key].src === route || key === route) add(key);
}
for (const key of Object.keys(manifest)) if (/nodes\/(?:0|1|2|3)\.js$/.test(key)) add(key);

let total = 0;
const rows = [...first].map((path) => {
  const bytes = gzipSync(read(path), { level: 9 }).length;
  total += bytes;
  return { path, kb: bytes / 1000 };
});
rows.sort((a, b) => b.kb - a.kb);
if (process.argv.includes('--list')) for (const { path, kb } of rows) console.log(`${kb.toFixed(1).padStart(7)} kB  ${path}`);
const kb = total / 1000;
console.log(`first load: ${kb.toFixed(1)} kB of script and style, compressed (limit ${LIMIT_KB} kB, ${rows.length} files)`);
if (kb > LIMIT_KB) process.exit(1);
