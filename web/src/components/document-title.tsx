// The tab's title, with the studio's name after it.
import { useEffect } from 'react'

export function DocumentTitle({ text }: { text: string }) {
  useEffect(() => {
    document.title = text ? `${text} · Apertis` : 'Apertis'
  }, [text])
  return null
}
