// View state in the address: filters, tabs, axes and selections can be linked, reloaded and gone back from.
import { useCallback } from 'react'
import { useSearchParams } from 'react-router'

/** One text of the address. The default is never written. Typing replaces, choosing may push. */
export function useUrlText(name: string, initial = ''): [string, (value: string, push?: boolean) => void] {
  const [parameters, setParameters] = useSearchParams()
  const set = useCallback(
    (value: string, push = false) => {
      setParameters(
        (before) => {
          const next = new URLSearchParams(before)
          if (value === initial) next.delete(name)
          else next.set(name, value)
          return next
        },
        { replace: !push, preventScrollReset: true },
      )
    },
    [initial, name, setParameters],
  )
  return [parameters.get(name) ?? initial, set]
}

/** A list of ids of the address, separated by commas. */
export function useUrlList(name: string): [string[], (values: string[]) => void] {
  const [text, setText] = useUrlText(name)
  const set = useCallback((values: string[]) => setText(values.join(',')), [setText])
  return [text ? text.split(',') : [], set]
}
