// Where the page begins.
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import '@/styles/studio.css'
import { applyTheme } from '@/lib/theme'
import { App } from './app'

applyTheme()

if (import.meta.env.MODE === 'mock') {
  // Left out of the production build: the mode is known while building.
  const { installMock } = await import('@/testing/mock/install')
  installMock()
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
