// How the page is built: hashed files under /assets, nothing inlined (the page's policy allows own files only).
import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import tailwindcss from '@tailwindcss/vite'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: { assetsInlineLimit: 0, target: 'es2022', modulePreload: { polyfill: false } },
  server: {
    proxy: {
      '/api': { target: 'http://127.0.0.1:8420' },
      '/socket.io': { target: 'http://127.0.0.1:8420', ws: true },
    },
  },
  // Whole pages are drawn in some tests; a busy machine takes its time.
  test: { environment: 'jsdom', testTimeout: 20_000, maxWorkers: 2, include: ['src/**/*.test.{ts,tsx}'], setupFiles: ['src/testing/setup.ts'] },
})
