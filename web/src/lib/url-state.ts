// View state in the address: filters, tabs, axes and selections can be linked, reloaded and gone back from.
import { useCallback, useState } from 'react'
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

/**
 * A list of ids of the address, separated by commas. What was set is given back at once: the address follows in
 * its own time, and a second choice made before must not be made from the list without the first.
 */
export function useUrlList(name: string): [string[], (values: string[]) => void] {
  const [text, setText] = useUrlText(name)
  const [ahead, setAhead] = useState<string>()
  if (ahead === text) setAhead(undefined)
  const set = useCallback(
    (values: string[]) => {
      const next = values.join(',')
      setAhead(next)
      setText(next)
    },
    [setText],
  )
  const held = ahead ?? text
  return [held ? held.split(',') : [], set]
}
