// Holds the build to its promises: all JavaScript together under 300 kB gzipped, nothing of the mock inside.
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const MOST_BYTES = 300_000
const folder = new URL('../dist/assets/', import.meta.url)
const scripts = readdirSync(folder).filter((name) => name.endsWith('.js'))
let total = 0
for (const name of scripts) {
  const text = readFileSync(new URL(name, folder))
  if (text.includes('tone-of-voice-3')) throw new Error(`${name} contains the mock server`)
  const size = gzipSync(text, { level: 9 }).length
  total += size
  console.log(`${String(size).padStart(8)}  ${name}`)
}
console.log(`${String(total).padStart(8)}  all JavaScript, gzipped, of at most ${MOST_BYTES}`)
if (total > MOST_BYTES) throw new Error('the bundle is too large')
