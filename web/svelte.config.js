import adapter from '@sveltejs/adapter-static';
import { readFileSync } from 'node:fs';

// The version is fixed, not a time: the same source must give the same bytes.
const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

/** @type {import('@sveltejs/kit').Config} */
export default {
  kit: {
    adapter: adapter({ pages: 'build', assets: 'build', fallback: 'index.html', strict: false }),
    appDir: 'app',
    version: { name: version },
    serviceWorker: { register: false },
    output: { preloadStrategy: 'modulepreload' }
  },
  compilerOptions: { runes: true }
};
