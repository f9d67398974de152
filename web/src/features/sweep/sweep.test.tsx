// A group of runs: its counts, its best, and its page over the mock.
import { screen } from '@testing-library/react'
import { Route, Routes } from 'react-router'
import { expect, test } from 'vitest'
import type { Sweep } from '@/api/types'
import { makeRuns } from '@/testing/mock/world'
import { renderOverMock } from '@/testing/render'
import { bestOf, counts, fieldNames, hasRungs } from './group'
import SweepPage from './sweep-page'

const rows = makeRuns(9).map((run) => run.row)
const sweep: Sweep = {
  id: 's', name: 'rates', total: 9, problem: '',
  tries: rows.map((run, index) => ({ run, rung: run.state.name === 'finished' ? 3 : index === 1 ? 1 : 0, fields: [{ name: 'learning_rate', value: `${index + 1}e-4` }] })),
}

test('a group in words', () => {
  expect(counts(sweep)).toBe('2 of 9 runs finished, 2 at work, 2 waiting, 1 failed, 2 stopped')
  expect(bestOf(sweep)?.run?.best_loss).toBe(Math.min(...rows.map((row) => row.best_loss ?? Infinity)))
  expect(bestOf({ ...sweep, tries: [{ run: null, rung: 0, fields: [] }] })).toBeUndefined()
  expect(fieldNames(sweep)).toEqual(['learning_rate'])
  expect(hasRungs(sweep)).toBe(true)
  expect(hasRungs({ ...sweep, tries: sweep.tries.filter((one) => one.rung !== 1) })).toBe(false)
})

test('the page of a group shows each try', async () => {
  renderOverMock(
    <Routes>
      <Route path="/sweeps/:id" element={<SweepPage />} />
    </Routes>,
    { at: '/sweeps/sweep-1' },
  )
  expect(await screen.findByRole('heading', { name: 'rates of learning' })).toBeTruthy()
  expect(screen.getAllByRole('row')).toHaveLength(1 + 4)
  expect(screen.getByText(/of 4 runs finished/)).toBeTruthy()
  expect(screen.getByRole('link', { name: 'Compare all' }).getAttribute('href')).toContain('runs=run-1,')
})
