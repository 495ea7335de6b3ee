import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

/** `main.ts` and `views.ts` are what fetches the others. */
const isShared = /node_modules|\/src\/(?!main|views)[\w.]+\.(ts|svelte)$|\/src\/shared\/|\/trace\/(rows|drawing)\.ts$/;

export default defineConfig({
  plugins: [svelte()],
  build: {
    // All are files: the content security policy allows no inline code.
    assetsInlineLimit: 0,
    modulePreload: false,
    target: 'es2023',
    // What views share is one script, what each has of its own another: few requests, and no view waits for the others'.
    rolldownOptions: { output: { codeSplitting: { includeDependenciesRecursively: false, groups: [{ name: 'shared', test: isShared }] } } },
  },
  // While the page is worked on: `npm run dev` beside `tandem ui`.
  server: { proxy: { '/api': 'http://127.0.0.1:8317' } },
});
