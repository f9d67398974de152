// Runs to look at: short ones that end within seconds, and long ones that are ended by the test.
import { until } from './studio.mjs'

/** The starter on the sample, with what differs. */
export async function start(studio, name, fields = {}) {
  const data = (await studio.get('data'))[0].reference
  const recipe = { model: 'starter', data, method: 'lora', learning_rate: '0.0005', eval_fraction: '0.02', sample_tokens: '8', threads: '1', ...fields }
  const run = await studio.send('POST', 'runs', { recipe: { fields: recipe }, name })
  return run.row.id
}

export const short = (studio, name, fields) => start(studio, name, { max_steps: '20', eval_steps: '10', save_every: '10', ...fields })

export const long = (studio, name, fields) => start(studio, name, { max_steps: '100000', eval_steps: '1000', patience: '0', ...fields })

export const row = async (studio, id) => (await studio.get(`runs/${id}`)).row

export const ended = (studio, id, within = 120_000) =>
  until(`the end of ${id}`, async () => {
    const now = await row(studio, id)
    return now.state.is_active ? null : now
  }, { within, every: 300 })

export const reached = (studio, id, step) => until(`step ${step} of ${id}`, async () => {
  const now = await row(studio, id)
  return now.step >= step ? now : null
}, { within: 60_000 })
