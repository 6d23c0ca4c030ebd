import { expect, it, vi } from 'vitest'
import type { AuditPolicy } from '../../actors/define-session.ts'
import { redactEvent, redactInput, redactState } from '../../actors/redaction.ts'

const EVENT = '{"type":"PAY","card":"4111","sum":7}'
const STATE =
  '{"status":"done","value":"paid","context":{"card":"4111","sum":7},"tags":["t"],"accepts":[],"output":{"card":"4111"}}'
const never = (): never => {
  throw new Error('nothing fails here')
}

const withoutCard = (part: unknown): unknown => ({ ...(part as object), card: undefined })

it('what is full, or nothing is said of, stays as it is, byte for byte', () => {
  for (const policy of [
    {},
    { event: 'full', input: 'full', context: 'full', output: 'full' },
  ] as AuditPolicy[]) {
    expect(redactEvent(policy, EVENT, never)).toEqual({ text: EVENT, parts: [] })
    expect(redactInput(policy, EVENT, never)).toEqual({ text: EVENT, parts: [] })
    expect(redactState(policy, STATE, never)).toEqual({ text: STATE, parts: [] })
  }
})

it('none: of an event the type remains, of an input nothing, of a state all but the part', () => {
  expect(redactEvent({ event: 'none' }, EVENT, never)).toEqual({ text: '{"type":"PAY"}', parts: ['event'] })
  expect(redactInput({ input: 'none' }, EVENT, never)).toEqual({ text: '', parts: ['input'] })
  const { text, parts } = redactState({ context: 'none' }, STATE, never)
  expect(parts).toEqual(['context'])
  expect(JSON.parse(text)).toEqual({
    status: 'done',
    value: 'paid',
    tags: ['t'],
    accepts: [],
    output: { card: '4111' },
  })
  expect(redactState({ context: 'none', output: 'none' }, STATE, never)).toEqual({
    text: '{"status":"done","value":"paid","tags":["t"],"accepts":[]}',
    parts: ['context', 'output'],
  })
})

it('what there is none of is not kept out', () => {
  expect(redactInput({ input: 'none' }, '', never)).toEqual({ text: '', parts: [] })
  expect(redactState({ output: 'none' }, '{"status":"active","context":{}}', never).parts).toEqual([])
  expect(redactEvent({ event: 'none' }, '{"type":"PAY"}', never).parts).toEqual([])
})

it('functions get a copy, and what they return is stored, with the type of the event in any case', () => {
  expect(redactEvent({ event: withoutCard }, EVENT, never)).toEqual({
    text: '{"type":"PAY","sum":7}',
    parts: ['event'],
  })
  for (const event of [
    () => ({ type: 'OTHER', sum: 1 }),
    (given: object) => Object.assign(given, { type: 'OTHER' }) && { sum: 1 },
  ])
    expect(redactEvent({ event } as AuditPolicy, EVENT, never).text).toBe('{"type":"PAY","sum":1}')
  expect(redactInput({ input: () => [1] }, EVENT, never)).toEqual({ text: '[1]', parts: ['input'] })
  const { text, parts } = redactState({ context: withoutCard, output: () => undefined }, STATE, never)
  expect(parts).toEqual(['context', 'output'])
  expect(JSON.parse(text)).toMatchObject({ context: { sum: 7 } })
  expect(text).not.toContain('4111')
})

it('a function that changes what it was given, and returns that, lets nothing through unmarked', () => {
  const inPlace = (part: unknown): unknown => {
    delete (part as { card?: string }).card
    return part
  }
  expect(redactEvent({ event: inPlace }, EVENT, never)).toEqual({
    text: '{"type":"PAY","sum":7}',
    parts: ['event'],
  })
  expect(redactInput({ input: inPlace }, EVENT, never)).toEqual({
    text: '{"type":"PAY","sum":7}',
    parts: ['input'],
  })
  const { text, parts } = redactState({ context: inPlace, output: inPlace }, STATE, never)
  expect(parts).toEqual(['context', 'output'])
  expect(text).not.toContain('4111')
})

it('where a function changes nothing, nothing is kept out', () => {
  const same = (part: unknown): unknown => part
  const policy = { event: same, input: same, context: same, output: same }
  expect(redactEvent(policy, EVENT, never)).toEqual({ text: EVENT, parts: [] })
  expect(redactInput(policy, EVENT, never)).toEqual({ text: EVENT, parts: [] })
  expect(redactState(policy, STATE, never)).toEqual({ text: STATE, parts: [] })
})

it.each([
  ['throws', () => never(), /nothing fails here/],
  [
    'throws what has no text',
    () => {
      throw Object.create(null)
    },
    /no text/,
  ],
  ['is asynchronous', () => Promise.reject(new Error('late')), /a Promise/],
  ['returns a date', () => ({ at: new Date(0) }), /at: a Date/],
  [
    'returns a cycle',
    () => {
      const a: { a?: unknown } = {}
      a.a = a
      return a
    },
    /a cycle/,
  ],
  ['returns half of a character', () => ({ text: '\ud800' }), /half of a surrogate pair/],
])('a function that %s lets nothing through, and says so', (_, rule, reason) => {
  const failed = vi.fn()
  expect(redactEvent({ event: rule }, EVENT, failed)).toEqual({ text: '{"type":"PAY"}', parts: ['event'] })
  expect(failed).toHaveBeenLastCalledWith('event', expect.stringMatching(reason))
  expect(redactInput({ input: rule }, EVENT, failed)).toEqual({ text: '', parts: ['input'] })
  expect(failed).toHaveBeenLastCalledWith('input', expect.stringMatching(reason))
  const { text, parts } = redactState({ context: rule, output: rule }, STATE, failed)
  expect(text).not.toContain('4111')
  expect(parts).toEqual(['context', 'output'])
  expect(failed).toHaveBeenLastCalledWith('output', expect.stringMatching(reason))
  expect(failed).toHaveBeenCalledTimes(4)
})

it.each([['a text'], [7], [[1]], [null], [true]])('of an event %j is no event', (made) => {
  const failed = vi.fn()
  expect(redactEvent({ event: () => made }, EVENT, failed)).toEqual({
    text: '{"type":"PAY"}',
    parts: ['event'],
  })
  expect(failed).toHaveBeenCalledExactlyOnceWith('event', 'it must return an object')
})
