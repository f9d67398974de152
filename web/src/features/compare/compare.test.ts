// What compare draws from: filters, groups, axes.
import { expect, test } from 'vitest'
import { dimensionsOf, scaleOf } from '@/charts/dimensions'
import { parallelLines } from '@/charts/parallel'
import { MockServer } from '@/testing/mock/server'
import type { Comparison } from '@/api/types'
import { only, placesOf } from './shown'

const answer = new MockServer({ runs: 12 }).handle('GET', new URL('http://x/api/v1/compare?runs=run-1,run-4,run-6'), null, null)
const comparison = answer.body as Comparison

test('a filter keeps runs, curves and values together', () => {
  const shown = only(comparison, 'voice-2')
  expect(shown.runs.map((row) => row.name)).toEqual(['tone-of-voice-2'])
  expect(shown.curves).toHaveLength(1)
  expect(shown.values[0]!.best).toHaveLength(1)
  expect(only(comparison, 'data=support-chats v2').runs).toHaveLength(1)
})

test('runs of one group share a colour', () => {
  const rates = comparison.fields.find((field) => field.name === 'learning_rate')!.values
  const places = placesOf(comparison, 'learning_rate')
  places.forEach((place, index) => expect(place === places[0]).toBe(rates[index] === rates[0]))
  expect(placesOf(comparison, '')).toEqual([0, 1, 2])
})

test('numbers get an axis of numbers, words one of words', () => {
  const dimensions = dimensionsOf(comparison)
  expect(dimensions.find((one) => one.name === 'learning_rate')?.categories).toBeNull()
  expect(dimensions.find((one) => one.name === 'data')?.categories).toContain('support-chats v2')
  expect(scaleOf({ name: 'a', isResult: false, categories: null, values: [1, 100] }, [0, 10]).toPixel(10)).toBeCloseTo(5)
  expect(scaleOf({ name: 'a', isResult: false, categories: null, values: [7, 7] }, [0, 10]).toPixel(7)).toBeCloseTo(5)
  expect(parallelLines(dimensions, 3, 800).map((line) => line.length)).toEqual([dimensions.length, dimensions.length, dimensions.length])
})
