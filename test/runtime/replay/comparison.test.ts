import { expect, it } from 'vitest'
import type { RecordedTransition } from '../../../persistence/audit/recorded.ts'
import { differenceFrom, missingIn } from '../../../runtime/replay/comparison.ts'

const REPLAYED = JSON.stringify({
  status: 'done',
  value: 'paid',
  context: { card: '4111', sum: 7 },
  tags: [],
  output: { card: '4111' },
})

function row(stored: Partial<RecordedTransition>): RecordedTransition {
  const whole = { ...(JSON.parse(REPLAYED) as object), redacted: [] }
  return { ...whole, ...stored } as unknown as RecordedTransition
}

it('all that is there is compared, in the order of what says most', () => {
  expect(missingIn(row({}), false)).toEqual([])
  expect(differenceFrom(row({}), REPLAYED, false)).toBeNull()
  expect(differenceFrom(row({ value: 'open', context: {} }), REPLAYED, false)).toMatchObject({
    path: 'value',
  })
  expect(differenceFrom(row({ output: undefined }), REPLAYED, false)).toMatchObject({ path: 'output' })
})

it('what was kept out, or a part of it, is missing and no difference; the rest is compared', () => {
  const part = row({ context: { sum: 7 }, redacted: ['context'] })
  expect(missingIn(part, false)).toEqual(['context'])
  expect(differenceFrom(part, REPLAYED, false)).toBeNull()
  const output = row({ output: undefined, redacted: ['output'] })
  expect(missingIn(output, false)).toEqual(['output'])
  expect(differenceFrom(output, REPLAYED, false)).toBeNull()
  expect(differenceFrom({ ...part, tags: ['x'] }, REPLAYED, false)).toMatchObject({ path: 'tags[0]' })
  expect(missingIn(part, true)).toEqual([])
})
