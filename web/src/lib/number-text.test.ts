import { expect, test } from 'vitest'
import { fromShare, parseNumber, recipeText, rounded, toShare } from './number-text'

test.each([
  ['2e-4', '.', 2e-4],
  ['1,024', '.', 1024],
  ['0,5', ',', 0.5],
  ['1.024,5', ',', 1024.5],
  ['0.5', ',', 0.5],
  ['1 024', '.', 1024],
  ['1_024', '.', 1024],
  ['−3', '.', -3],
  ['three', '.', null],
  ['1.2.3', '.', null],
  ['', '.', null],
])('%s with mark %s is %s', (text, mark, expected) => expect(parseNumber(text, mark)).toBe(expected))

test.each([
  [2e-4, '2e-4'],
  [1.5e-5, '1.5e-5'],
  [0.05, '0.05'],
  [1024, '1024'],
  [0, '0'],
])('%s is written %s in a recipe', (value, expected) => expect(recipeText(value)).toBe(expected))

test('a slider by factors puts the geometric mean in its middle', () => {
  expect(toShare(1e-4, 1e-6, 1e-2, true)).toBeCloseTo(0.5)
  expect(fromShare(0.5, 1e-6, 1e-2, true)).toBeCloseTo(1e-4)
  expect(rounded(0.000203, false, true)).toBe(0.0002)
  expect(rounded(1037, true, true)).toBe(1000)
})
