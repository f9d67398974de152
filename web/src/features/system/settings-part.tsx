// What a person decides: folders that may be read, limits, theme, keeping awake.
import { useState, type ReactNode } from 'react'
import { useQuery } from '@tanstack/react-query'
import { useSettingsChange } from '@/api/actions'
import { failureText } from '@/api/client'
import { settingsQuery } from '@/api/queries'
import { Button, IconButton } from '@/components/button'
import { Switch } from '@/components/bits'
import { NumberBox, Select, TextBox } from '@/components/fields'
import { Skeleton } from '@/components/skeleton'
import { setTheme, useTheme, type Theme } from '@/lib/theme'
import { Part } from './part'

export function SettingsPart({ database }: { database: string }) {
  const { data: settings } = useQuery(settingsQuery())
  const change = useSettingsChange(settings?.etag)
  const chosenTheme = useTheme()
  const [folder, setFolder] = useState('')
  if (!settings) {
    return (
      <Part id="settings" title="Settings">
        <Skeleton className="h-9" lines={5} />
      </Part>
    )
  }
  const failure = change.error ? failureText(change.error) : null
  return (
    <Part id="settings" title="Settings">
      <div className="flex max-w-3xl flex-col">
        <Line label="Theme">
          <Select
            aria-label="Theme"
            value={chosenTheme}
            onChange={(event) => {
              setTheme(event.target.value as Theme)
              change.mutate({ theme: event.target.value })
            }}
          >
            <option value="system">As the system</option>
            <option value="light">Light</option>
            <option value="dark">Dark</option>
          </Select>
        </Line>
        <Line label="Keep this machine awake while something trains">
          <Switch label="Keep awake" isOn={settings.keep_awake} onChange={(keep_awake) => change.mutate({ keep_awake })} />
        </Line>
        <Line label="Largest upload, in MB">
          <NumberBox
            label="Largest upload in MB"
            value={String(Math.round(settings.upload_max_bytes / 1e6))}
            className="w-28"
            onChange={(text) => Number(text) > 0 && change.mutate({ upload_max_bytes: Math.round(Number(text) * 1e6) })}
          />
        </Line>
        <Line label="Power under load, in watts" note="For the energy of a run where no counter tells it; 0 is unknown.">
          <NumberBox label="Power in watts" value={String(settings.watts)} className="w-28" onChange={(text) => Number(text) >= 0 && change.mutate({ watts: Number(text) })} />
        </Line>
        <Line label="Notifications when a run ends">
          <Notifications />
        </Line>
        <Line label="Database">
          <span className="text-right text-quiet wrap-anywhere">{database}</span>
        </Line>
        <h3 className="mt-4 mb-1 font-medium">Folders that may be read</h3>
        <p className="mb-2 text-quiet">The home always is. Models and data in other places need their folder here.</p>
        <ul>
          {settings.folders.map((one) => (
            <li key={one} className="flex h-row items-center border-b">
              <code className="min-w-0 grow truncate" title={one}>
                {one}
              </code>
              <IconButton icon="close" label={`Remove ${one}`} onClick={() => change.mutate({ folders: settings.folders.filter((other) => other !== one) })} />
            </li>
          ))}
        </ul>
        <form
          className="mt-2 flex gap-2"
          onSubmit={(event) => {
            event.preventDefault()
            if (folder.trim()) change.mutate({ folders: [...settings.folders, folder.trim()] }, { onSuccess: () => setFolder('') })
          }}
        >
          <TextBox aria-label="Folder to add" placeholder="/data" value={folder} onChange={(event) => setFolder(event.target.value)} />
          <Button type="submit" disabled={!folder.trim()}>
            Add
          </Button>
        </form>
        {failure && (
          <p role="alert" className="mt-2 text-bad">
            {failure.message} {failure.hint}
          </p>
        )}
      </div>
    </Part>
  )
}

function Line({ label, note, children }: { label: string; note?: string; children: ReactNode }) {
  return (
    <div className="flex min-h-12 items-center justify-between gap-4 border-b py-1">
      <span>
        {label}
        {note && <span className="block text-small text-quiet">{note}</span>}
      </span>
      {children}
    </div>
  )
}

function Notifications() {
  const [permission, setPermission] = useState(() => (typeof Notification === 'function' ? Notification.permission : 'denied'))
  if (permission === 'granted') return <span className="text-quiet">on</span>
  if (permission === 'denied') return <span className="text-quiet">refused by the browser</span>
  return (
    <Button isSmall onClick={() => void Notification.requestPermission().then(setPermission)}>
      Allow
    </Button>
  )
}
