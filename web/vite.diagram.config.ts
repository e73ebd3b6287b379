/**
 * The frame's script is one file, since a frame without an origin cannot load modules. It is written
 * into `build/` after the app, and `finish-build` makes its page.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export default defineConfig({
  publicDir: false,
  define: { 'process.env.NODE_ENV': '"production"' },
  // Formulas in labels would bring a second KaTeX along.
  resolve: { alias: { katex: path('src/diagram/no-katex.ts') } },
  build: {
    outDir: 'build/diagram',
    emptyOutDir: true,
    target: 'es2022',
    reportCompressedSize: false,
    lib: { entry: path('src/diagram/frame.ts'), formats: ['iife'], name: 'diagram' },
    rolldownOptions: { output: { entryFileNames: 'immutable/frame.[hash].js', codeSplitting: false } }
  }
});
