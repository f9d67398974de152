// One set of thin 20 px icons, drawn by us; decorative unless named by what holds them.
const PATHS = {
  home: 'M3.5 9 10 3.5 16.5 9v7a.5.5 0 0 1-.5.5h-4V12H8v4.5H4a.5.5 0 0 1-.5-.5z',
  train: 'M3 14.5c3.5 0 3.5-9 7-9s3.5 6 7 6M14 8.5l3 3-3 3',
  runs: 'M3.5 5.5h13M3.5 10h13M3.5 14.5h8',
  system: 'M6 6h8v8H6zM8 3v3M12 3v3M8 14v3M12 14v3M3 8h3M3 12h3M14 8h3M14 12h3',
  settings: 'M4 6h7M15 6h1M4 14h1M9 14h7M13 4.2v3.6M7 12.2v3.6',
  moon: 'M16 11.5A6.5 6.5 0 0 1 8.5 4 6.5 6.5 0 1 0 16 11.5z',
  sun: 'M10 6.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7zM10 2.5v1.5M10 16v1.5M2.5 10H4M16 10h1.5M4.7 4.7l1 1M14.3 14.3l1 1M4.7 15.3l1-1M14.3 5.7l1-1',
  help: 'M10 17a7 7 0 1 1 0-14 7 7 0 0 1 0 14zM7.8 8c0-1.3 1-2.2 2.2-2.2s2.2.8 2.2 2c0 1.5-2.2 1.7-2.2 3.2M10 13.6v.1',
  fold: 'M4 4.5h12v11H4zM8 4.5v11',
  more: 'M10 5v.01M10 10v.01M10 15v.01',
  close: 'm5 5 10 10M15 5 5 15',
  down: 'm5.5 8 4.5 4.5L14.5 8',
  right: 'm8 5.5 4.5 4.5L8 14.5',
  left: 'm12 5.5-4.5 4.5 4.5 4.5',
  up: 'm5.5 12 4.5-4.5 4.5 4.5',
  copy: 'M7 7h9v9H7zM4 13V4h9',
  check: 'm4.5 10.5 3.5 3.5 7.5-8',
  code: 'm7 6-4 4 4 4M13 6l4 4-4 4',
  edit: 'm4 16 .8-3.2L13.5 4l2.5 2.5-8.8 8.7zM12 5.5 14.5 8',
  pause: 'M7.5 5v10M12.5 5v10',
  play: 'M7 4.8v10.4l8-5.2z',
  stop: 'M5.5 5.5h9v9h-9z',
  save: 'M4 4h9.5L16 6.5V16H4zM7 4v4h5V4M7 16v-4.5h6V16',
  trash: 'M4 6h12M8 6V4h4v2M5.5 6l.7 10h7.6l.7-10M8.5 9v4M11.5 9v4',
  download: 'M10 3.5v9M6.5 9 10 12.5 13.5 9M4 16.5h12',
  upload: 'M10 12.5v-9M6.5 7 10 3.5 13.5 7M4 16.5h12',
  search: 'M9 14.5A5.5 5.5 0 1 0 9 3.5a5.5 5.5 0 0 0 0 11zM13 13l3.5 3.5',
  plus: 'M10 4v12M4 10h12',
  reset: 'M5 6.5A6 6 0 1 1 4 10M4 4v3.5h3.5',
  table: 'M3.5 4.5h13v11h-13zM3.5 8h13M3.5 11.7h13M8 4.5v11',
  panel: 'M3.5 4.5h13v11h-13zM12 4.5v11',
  pin: 'M7.5 3.5h5l-.5 5 2.5 2.5h-9L8 8.5zM10 11v5.5',
  clone: 'M7.5 3.5h9v9h-9zM12.5 12.5v4h-9v-9h4',
  folder: 'M3 5.5h5l1.5 2H17v8H3z',
  star: 'm10 3 2.1 4.5 4.9.6-3.6 3.4.9 4.9L10 14l-4.3 2.4.9-4.9L3 8.1l4.9-.6z',
  info: 'M10 17a7 7 0 1 1 0-14 7 7 0 0 1 0 14zM10 9v4.5M10 6.5v.1',
  warn: 'M10 3.5 17.5 16h-15zM10 8v4M10 14v.1',
  restore: 'M4 10a6 6 0 1 0 2-4.5L4 7M4 3.5V7h3.5M10 7v3.5l2 1.5',
  sliders: 'M5 3v6M5 13v4M10 3v2M10 9v8M15 3v8M15 15v2M3 11h4M8 7h4M13 13h4',
  phone: 'M6 2.5h8v15H6zM9 15h2',
  key: 'M7 13a3.5 3.5 0 1 1 3.3-4.5H17V12h-2v-1.5h-4.5A3.5 3.5 0 0 1 7 13zM7 9.5v.01',
  compare: 'M3 15c3 0 3-9 7-9s4 4 7 4M3 10c3 0 4 5 7 5s4-9 7-9',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name, className }: { name: IconName; className?: string }) {
  return (
    <svg
      aria-hidden="true"
      className={className}
      width="20"
      height="20"
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={PATHS[name]} />
    </svg>
  )
}
