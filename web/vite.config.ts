import { sveltekit } from '@sveltejs/kit/vite';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';

const server = process.env['TERANG_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [tailwindcss(), sveltekit()],
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
