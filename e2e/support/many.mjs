// Many runs from one that ended: copies of its folder with other names, rates and losses, as if each had been trained.
import { cpSync, mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

const RATES = ['0.0001', '0.0002', '0.0005', '0.001']
const PURPOSES = ['facts', 'tone', 'forms', 'domain', 'almanac']

/** Makes `count` runs beside the one in `folder`; the server finds them by itself. */
export function multiply(folder, count) {
  const runs = dirname(folder)
  const events = readFileSync(join(folder, 'events.jsonl'), 'utf8')
  const recipe = readFileSync(join(folder, 'recipe.toml'), 'utf8')
  const known = basename(folder)
  for (let number = 1; number <= count; number += 1) {
    const name = `${PURPOSES[number % PURPOSES.length]}-${String(number).padStart(5, '0')}`
    const copy = join(runs, name)
    mkdirSync(copy)
    const factor = 0.8 + ((number * 7919) % 1000) / 2000
    const changed = events
      .replace(/"(loss|loss_low|loss_high)":([\d.]+)/g, (_, field, value) => `"${field}":${(Number(value) * factor).toFixed(6)}`)
      .replaceAll(`"run":"${known}"`, `"run":"${name}"`)
    writeFileSync(join(copy, 'events.jsonl'), changed)
    writeFileSync(join(copy, 'recipe.toml'), recipe.replace(/^learning_rate = .*$/m, `learning_rate = ${RATES[number % RATES.length]}`))
    if (existsSync(join(folder, 'run.lock'))) cpSync(join(folder, 'run.lock'), join(copy, 'run.lock'))
  }
}
