// The offline guide of each page, opened by `?`: what it is for, and the words of the glossary that stand on it.
export interface Guide {
  title: string
  lines: string[]
  /** Words of the server's glossary. */
  words: string[]
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
        'Sweep tries several values of some fields: a list or a range of each becomes a group of runs, at most 20, which is shown before it starts.',
        'Start makes a folder and a worker process. You can close the page at any moment: the run goes on.',
      ],
      words: ['adapter', 'batch', 'epoch', 'learning rate', 'rank', 'recipe', 'seed', 'step', 'token', 'warmup', 'weight decay'],
    },
  ],
  [
    /^\/(runs\/)?compare/,
    {
      title: 'Guide: Compare',
      lines: [
        'All chosen runs share one chart. The table says in which fields of the recipe they differ, and how their best values compare with the pinned run.',
        'Parallel shows a line a run through its settings to its result; Scatter any setting against any result.',
        'The address holds the runs and the view: send it, or keep it as a bookmark.',
      ],
      words: ['accuracy', 'gradient norm', 'held-out loss', 'loss', 'perplexity', 'recipe'],
    },
  ],
  [
    /^\/runs\/[^/]+\/samples/,
    {
      title: 'Guide: Samples',
      lines: [
        'The same prompts are answered at each evaluation. Move the slider to see how the answers change; the first ones stand beside them.',
        'Which prompts are asked is a field of the recipe; without any, three of the held-out rows are.',
      ],
      words: ['evaluation', 'held-out loss', 'masked', 'target', 'token'],
    },
  ],
  [
    /^\/runs\/[^/]+\/(log|files|recipe|report)/,
    {
      title: 'Guide: what a run leaves',
      lines: [
        'Log lists what happened, the newest first: each line is an event of the run’s own file, which is only ever added to.',
        'Files are those of the run’s folder; a click downloads one. Its best and last checkpoint are whole models or adapters.',
        'Recipe holds every setting: training with it again on the same data repeats the run. Report shows the answers before and after.',
      ],
      words: ['checkpoint', 'evaluation', 'recipe', 'step'],
    },
  ],
  [
    /^\/runs\/.+/,
    {
      title: 'Guide: a run',
      lines: [
        'The faint line is the raw training loss, the strong one is smoothed. Dots are evaluations on rows that are never trained on; the star is the best one.',
        'A dotted line is what a resume or a step back took back; it no longer counts.',
        'Drag over a chart to zoom, double-click to see all; all charts move together. With Shift, dragging moves the view; Ctrl and the wheel zoom.',
        'If held-out loss rises while training loss falls, the model memorises. Early stopping ends the run and keeps the best step.',
        'Stop saves and ends; the run can be resumed. Abort ends without saving.',
      ],
      words: ['accuracy', 'checkpoint', 'epoch', 'evaluation', 'gradient norm', 'held-out loss', 'learning rate', 'loss', 'perplexity', 'step', 'token'],
    },
  ],
  [
    /^\/runs/,
    {
      title: 'Guide: Runs',
      lines: ['Every run that was ever started, newest first. Click a column to sort, choose runs to compare, tag or delete them.', 'Deleted runs lie in the trash for 30 days.', 'Runs started in a terminal appear here too.'],
      words: ['held-out loss', 'step', 'token'],
    },
  ],
  [
    /^\/sweeps/,
    {
      title: 'Guide: a sweep',
      lines: [
        'A group of runs that differ only in the fields that are tried. They wait in the queue and train one after the other.',
        'With rungs, all reach a quarter of their steps; then the half with the lower held-out loss goes on to the middle, and the better half of these to the end.',
        '“Compare all” lays the curves and values beside one another; Parallel shows which value leads where.',
      ],
      words: ['held-out loss', 'recipe', 'seed', 'step'],
    },
  ],
  [
    /^\/system/,
    {
      title: 'Guide: System',
      lines: [
        'What this machine has, what the home takes on disk and what can go, settings, keys, and what the doctor finds.',
        'Only folders that are listed here can be read from the page.',
        'A key lets another computer or a program in, once the server is open to the network. It is shown once; revoking it ends its sessions.',
      ],
      words: ['checkpoint', 'precision'],
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
  words: ['held-out loss', 'loss', 'recipe', 'step', 'token'],
}

export function guideOf(pathname: string): Guide {
  return GUIDES.find(([pattern]) => pattern.test(pathname))?.[1] ?? HOME
}
