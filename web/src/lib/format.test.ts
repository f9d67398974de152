import { expect, test } from 'vitest'
import { ago, bytes, change, clock, count, duration, exponent, loss, middleCut, short, significant } from './format'

const now = Date.parse('2026-01-01T12:00:00Z')

test.each([
  [count(12480), '12,480'],
  [short(3_100_000), '3.1M'],
  [loss(1.3921), '1.392'],
  [loss(null), '–'],
  [loss(Number.NaN), '–'],
  [significant(0.0002), '2e-4'],
  [significant(1.23456), '1.235'],
  [exponent(0.00015), '1.5e-4'],
  [bytes(1_300_000_000), '1.3 GB'],
  [bytes(999), '999 B'],
  [bytes(999_600), '1 MB'],
  [duration(12_000), '12 s'],
  [duration(360_000), '6 min'],
  [duration(7_500_000), '2 h 05'],
  [clock(3_725_000), '1:02:05'],
  [change(1.392, 1.455), '-4.3%'],
  [ago('2026-01-01T11:59:40Z', now), 'just now'],
  [ago('2026-01-01T11:52:00Z', now), '8 min. ago'],
  [ago('2025-12-31T11:00:00Z', now), 'yesterday'],
  [middleCut('abcdefghij', 5), 'ab…ij'],
])('%s reads %s', (found, expected) => expect(found).toBe(expected))
