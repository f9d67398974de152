// The offline guide of each page, opened by `?`.
interface Guide {
  title: string
  lines: string[]
}

const GUIDES: [RegExp, Guide][] = [
  [
    /^\/train/,
    {
      title: 'Guide: Train',
      lines: [
        'Choose a model to start from, the data it learns from, and what you want. The presets set the recipe; every field can be changed at the right.',
        'The plan says what the run will take before it starts. “Measure” runs three steps to know instead of estimate.',
        'A dot beside a field marks what differs from the default; click it to go back. Click a field’s name for what it does.',
        'Start makes a folder and a worker process. You can close the page at any moment: the run goes on.',
      ],
    },
  ],
  [
    /^\/runs\/compare/,
    {
      title: 'Guide: Compare',
      lines: [
        'All chosen runs share one chart. The table says in which fields of the recipe they differ, and how their best values compare with the pinned run.',
        'Parallel shows a line a run through its settings to its result; Scatter any setting against any result.',
        'The address holds the runs and the view: send it, or keep it as a bookmark.',
      ],
    },
  ],
  [
    /^\/runs\/.+/,
    {
      title: 'Guide: a run',
      lines: [
        'The faint line is the raw training loss, the strong one is smoothed. Dots are evaluations on rows that are never trained on; the star is the best one.',
        'Drag over a chart to zoom, double-click to see all; all charts move together. With Shift, dragging moves the view; Ctrl and the wheel zoom.',
        'If held-out loss rises while training loss falls, the model memorises. Early stopping ends the run and keeps the best step.',
        'Stop saves and ends; the run can be resumed. Abort ends without saving.',
      ],
    },
  ],
  [
    /^\/runs/,
    {
      title: 'Guide: Runs',
      lines: ['Every run that was ever started, newest first. Click a column to sort, choose runs to compare, tag or delete them.', 'Deleted runs lie in the trash for 30 days.', 'Runs started in a terminal appear here too.'],
    },
  ],
  [
    /^\/system/,
    {
      title: 'Guide: System',
      lines: ['What this machine has, what the home takes on disk and what can go, settings, keys, and what the doctor finds.', 'Only folders that are listed here can be read from the page.'],
    },
  ],
]

const HOME: Guide = {
  title: 'Guide',
  lines: [
    'Home shows what is running, what waits, and what is worth doing next.',
    'Train starts a run, Runs shows and compares them, System is about this machine.',
    'The line at the foot of each page is the same as a command for the terminal. “<>” shows it as code.',
    'A run is a process of its own: closing the page, the server or the terminal does not end it.',
  ],
}

export function guideOf(pathname: string): Guide {
  return GUIDES.find(([pattern]) => pattern.test(pathname))?.[1] ?? HOME
}
