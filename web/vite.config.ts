import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  build: {
    // One script, one style sheet: the page is small, and both must be files (the content security policy allows no inline code).
    assetsInlineLimit: 0,
    modulePreload: false,
    target: 'es2023',
  },
  // While the page is worked on: `npm run dev` beside `tandem ui`.
  server: { proxy: { '/api': 'http://127.0.0.1:8317' } },
});
