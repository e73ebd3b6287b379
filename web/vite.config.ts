import { sveltekit } from '@sveltejs/kit/vite';
import tailwindcss from '@tailwindcss/vite';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const server = process.env['TERANG_URL'] ?? 'http://127.0.0.1:8080';

/**
 * SvelteKit tells screen readers of a new page by an element with a style attribute, which the page's
 * policy forbids: a class does the same.
 */
const announcerWithoutStyle: Plugin = {
  name: 'announcer-without-style',
  enforce: 'pre',
  transform(code, id) {
    if (!id.split('?')[0]?.endsWith('.svelte-kit/generated/root.svelte')) return undefined;
    const changed = code.replace(/(id="svelte-announcer"[^>]*?) style="[^"]*"/, '$1 class="sr-only"');
    if (changed === code) this.error('the announcer of SvelteKit has changed');
    return { code: changed, map: null };
  }
};

export default defineConfig({
  plugins: [announcerWithoutStyle, tailwindcss(), sveltekit()],
  // Files are embedded in the binary: small ones inside of script would need `data:` in the policy.
  build: { assetsInlineLimit: 0, target: 'es2022', reportCompressedSize: false },
  server: {
    proxy: { '/api': { target: server, changeOrigin: true, headers: { origin: server } } }
  },
  resolve: process.env['VITEST'] ? { conditions: ['browser'] } : {},
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'jsdom'
  }
});
