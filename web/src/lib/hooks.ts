// Small hooks that know nothing of the studio: time, size, media, keys, remembered values.
import { useCallback, useEffect, useRef, useState, useSyncExternalStore, type RefObject } from 'react'

/** True once `wait` ms have passed while `isOn`: skeletons come late so that fast answers do not flash. */
export function useDelayed(isOn: boolean, wait = 300): boolean {
  const [passed, setPassed] = useState(false)
  useEffect(() => {
    if (!isOn) return
    const timer = setTimeout(() => setPassed(true), wait)
    return () => {
      clearTimeout(timer)
      setPassed(false)
    }
  }, [isOn, wait])
  return isOn && passed
}

/** The value as it was once it has not changed for `wait` ms. */
export function useSettled<T>(value: T, wait = 250): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), wait)
    return () => clearTimeout(timer)
  }, [value, wait])
  return settled
}

let now = Date.now()

/** The time, new each 20 s: enough for "2 min ago". */
export function useNow(): number {
  const subscribe = useCallback((listener: () => void) => {
    now = Date.now()
    const timer = setInterval(() => {
      now = Date.now()
      listener()
    }, 20_000)
    return () => {
      clearInterval(timer)
    }
  }, [])
  return useSyncExternalStore(subscribe, () => now)
}

export function useMedia(query: string): boolean {
  const subscribe = useCallback(
    (listener: () => void) => {
      const media = matchMedia(query)
      media.addEventListener('change', listener)
      return () => media.removeEventListener('change', listener)
    },
    [query],
  )
  return useSyncExternalStore(subscribe, () => matchMedia(query).matches)
}

export const usePhone = (): boolean => useMedia('(max-width: 767px)')

/** Width and height of an element, followed. */
export function useSize<T extends HTMLElement>(): [RefObject<T | null>, { width: number; height: number }] {
  const ref = useRef<T>(null)
  const [size, setSize] = useState({ width: 0, height: 0 })
  useEffect(() => {
    const element = ref.current
    if (!element) return
    const observer = new ResizeObserver(([entry]) => {
      if (!entry) return
      const { width, height } = entry.contentRect
      setSize((before) => (before.width === width && before.height === height ? before : { width, height }))
    })
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return [ref, size]
}

/** A value kept in this browser. */
export function useRemembered<T extends string>(key: string, initial: T): [T, (value: T) => void] {
  const name = `apertis.${key}`
  const [value, setValue] = useState<T>(() => (localStorage.getItem(name) as T | null) ?? initial)
  const set = useCallback(
    (next: T) => {
      localStorage.setItem(name, next)
      setValue(next)
    },
    [name],
  )
  return [value, set]
}

/** Whether a key press is meant for what is being typed into. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
}

/** Calls `act` on a key of the page, unless somebody types or holds a modifier. */
export function useHotkey(key: string, act: () => void): void {
  const latest = useRef(act)
  useEffect(() => {
    latest.current = act
  })
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.key !== key || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return
      if (document.querySelector('dialog[open]')) return
      event.preventDefault()
      latest.current()
    }
    addEventListener('keydown', listen)
    return () => removeEventListener('keydown', listen)
  }, [key])
}
