/** The element that other applications load: one small script under a name that stays. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

export default defineConfig({
  publicDir: false,
  build: {
    outDir: 'build/embed',
    emptyOutDir: true,
    target: 'es2022',
    reportCompressedSize: false,
    lib: { entry: fileURLToPath(new URL('src/embed/terang-chat.ts', import.meta.url)), formats: ['iife'], name: 'terang' },
    rolldownOptions: { output: { entryFileNames: 'terang-chat.js', codeSplitting: false } }
  }
});
