// Train over the mock: presets, changed marks, reset, problems, Start.
import { fireEvent, screen, waitFor, within } from '@testing-library/react'
import { Route, Routes } from 'react-router'
import { beforeEach, expect, test } from 'vitest'
import { ApiFailure } from '@/api/client'
import { CATALOGUE } from '@/testing/mock/parts'
import { PRESETS } from '@/testing/mock/world'
import { renderOverMock } from '@/testing/render'
import { shownFields } from './recipe-panel'
import { parametersOf } from './shape-blocks'
import { sliderRange } from './slider-range'
import { axisOf, listOf, newAxis, sweepable } from './sweep-axes'
import TrainPage from './train-page'
import { problemsOf, withPreset } from './use-draft'

beforeEach(() => {
  sessionStorage.clear()
  localStorage.clear()
})

const page = (
  <Routes>
    <Route path="/train" element={<TrainPage />} />
    <Route path="/runs/:id" element={<p>the run</p>} />
  </Routes>
)

test('a preset keeps what is trained on what', () => {
  const tone = PRESETS.find((preset) => preset.name === 'tone')!
  expect(withPreset({ model: 'starter', data: 'sample', epochs: '9', seed: '3' }, tone)).toEqual({ model: 'starter', data: 'sample', ...tone.fields })
})

test('the form shows fields of the method, and a search finds any', () => {
  const names = (method: string, isAll: boolean, search = '') => shownFields(CATALOGUE.fields, method, isAll, search).map((field) => field.name)
  expect(names('lora', false)).toContain('lora.rank')
  expect(names('full', false)).not.toContain('lora.rank')
  expect(names('full', false)).not.toContain('adam_beta1')
  expect(names('full', true)).toContain('adam_beta1')
  expect(names('full', false, 'adam mean')).toEqual(expect.arrayContaining(['adam_beta1']))
})

test('every slider lies within what the catalogue allows', () => {
  for (const field of CATALOGUE.fields) {
    const range = sliderRange(field)
    if (!range) continue
    expect(range.min).toBeGreaterThanOrEqual(field.min ?? -Infinity)
    expect(range.max).toBeLessThanOrEqual(field.max ?? Infinity)
  }
})

test('axes of a sweep are lists or ranges', () => {
  const blank = { field: 'lora.rank', kind: 'list' as const, list: '', from: '', to: '', steps: '3', isLogarithmic: false }
  expect(axisOf({ ...blank, list: '8, 16' })).toMatchObject({ values: ['8', '16'] })
  expect(axisOf(blank)).toBeNull()
  expect(axisOf({ ...blank, kind: 'range', from: '1e-5', to: '1e-3', steps: '4', isLogarithmic: true })).toMatchObject({ min: 1e-5, max: 1e-3, steps: 4, is_logarithmic: true })
  expect(axisOf({ ...blank, kind: 'range', from: '1' })).toBeNull()
  expect(axisOf({ ...blank, kind: 'range', from: '1', to: '3', steps: '99' })).toMatchObject({ steps: 20 })
  expect(listOf('q_proj, "q_proj,v_proj", ')).toEqual(['q_proj', 'q_proj,v_proj'])
})

test('a new axis begins around what the recipe holds', () => {
  const field = (name: string) => CATALOGUE.fields.find((one) => one.name === name)!
  expect(newAxis(field('lora.rank'), '16').list).toBe('8, 16, 32')
  expect(newAxis(field('learning_rate'), '0.0002').list).toBe('0.0001, 0.0002, 0.0004')
  expect(newAxis(field('batch_size'), '1').list).toBe('1, 2')
  expect(newAxis(field('shuffle'), 'true').list).toBe('true, false')
  expect(sweepable(CATALOGUE.fields).map((one) => one.name)).not.toContain('name')
})

test('a draft that cannot be read is said at its field', () => {
  const refusal = new ApiFailure('recipe_invalid', 422, 'epochs: expected a number, found many', 'Give a number.', { field: 'epochs' })
  expect(problemsOf(undefined, refusal)).toEqual([{ field: 'epochs', message: 'epochs: expected a number, found many', hint: 'Give a number.' }])
  expect(problemsOf(undefined, new ApiFailure('away', 0, '', ''))).toEqual([])
})

test('parameters of a shape add up', () => {
  const parts = parametersOf({ layers: 2, width: 8, heads: 2, kvHeads: 1, hidden: 16, context: 32, vocabulary: 100 })
  expect(parts).toEqual({ embedding: 800, attention: 2 * (2 * 64 + 2 * 32), feedForward: 2 * 3 * 128, total: 800 + 384 + 768 + 40 })
})

test('choosing, changing, resetting, starting', async () => {
  const { server } = renderOverMock(page, { at: '/train?model=starter&data=sample&preset=tone' })
  const many = server.runs.length
  const epochs = await screen.findByRole('textbox', { name: 'Epochs, passes' })
  fireEvent.change(epochs, { target: { value: '1' } })
  fireEvent.blur(epochs)
  const reset = (await screen.findAllByRole('button', { name: 'Changed. Reset to 3' }))[0]!
  fireEvent.click(reset)
  await waitFor(() => expect((epochs as HTMLInputElement).value).toBe('3'))
  const start = screen.getByRole('button', { name: 'Start' })
  await waitFor(() => expect((start as HTMLButtonElement).disabled).toBe(false))
  fireEvent.click(start)
  expect(await screen.findByText('the run')).toBeTruthy()
  expect(server.runs).toHaveLength(many + 1)
})

test('a value that cannot be used is said at its field and keeps Start off', async () => {
  renderOverMock(page, { at: '/train?model=starter&data=sample' })
  const epochs = await screen.findByRole('textbox', { name: 'Epochs, passes' })
  fireEvent.change(epochs, { target: { value: 'many' } })
  fireEvent.blur(epochs)
  expect(await screen.findAllByText(/expects a number of at least 0, found many The default is 3/)).not.toHaveLength(0)
  const start = screen.getByRole('button', { name: 'Start' })
  await waitFor(() => expect((start as HTMLButtonElement).disabled).toBe(true))
  expect(within(screen.getByRole('main')).getByText('Train')).toBeTruthy()
})
