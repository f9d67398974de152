// Copies a text and says so in place.
import { useState } from 'react'
import { announce } from '@/lib/announce'
import { IconButton } from './button'

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [isCopied, setCopied] = useState(false)
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      // Without a secure origin there is no clipboard; the old way still works there.
      copyByHand(text)
    }
    setCopied(true)
    announce('Copied')
    setTimeout(() => setCopied(false), 1500)
  }
  return <IconButton icon={isCopied ? 'check' : 'copy'} label={isCopied ? 'Copied' : label} onClick={() => void copy()} />
}

function copyByHand(text: string): void {
  const box = document.createElement('textarea')
  box.value = text
  document.body.append(box)
  box.select()
  document.execCommand('copy')
  box.remove()
}
