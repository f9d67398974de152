// The line at the foot of every page: the same thing as a command, to read and to copy; `<>` shows it as code.
import { useState } from 'react'
import { CopyButton } from './copy-button'
import { IconButton } from './button'
import { Dialog } from './dialog'

export interface CodeForm {
  language: string
  text: string
}

export function CommandFoot({ command, code = [] }: { command: string; code?: CodeForm[] }) {
  const [isOpen, setOpen] = useState(false)
  const forms: CodeForm[] = [{ language: 'Command line', text: command }, ...code]
  return (
    <footer className="sticky bottom-0 z-10 flex h-(--bar) items-center gap-2 border-t bg-page px-4 max-md:static md:px-8">
      <span aria-hidden="true" className="font-mono text-quiet">
        $
      </span>
      <code dir="ltr" aria-label="The same as a command" className="min-w-0 grow truncate text-small text-quiet" title={command}>
        {command}
      </code>
      <IconButton icon="code" label="Show as code" onClick={() => setOpen(true)} />
      <CopyButton text={command} label="Copy the command" />
      <Dialog look="wide" title="The same as code" isOpen={isOpen} onClose={() => setOpen(false)}>
        <div className="flex flex-col gap-4">
          {forms.map((form) => (
            <CodeBlock key={form.language} {...form} />
          ))}
        </div>
      </Dialog>
    </footer>
  )
}

export function CodeBlock({ language, text }: CodeForm) {
  return (
    <section aria-label={language}>
      <div className="flex items-center gap-2">
        <h3 className="grow font-medium">{language}</h3>
        <CopyButton text={text} label={`Copy ${language}`} />
      </div>
      <pre tabIndex={0} dir="ltr" className="overflow-x-auto rounded-control bg-raised p-3 text-small whitespace-pre-wrap">
        {text}
      </pre>
    </section>
  )
}
