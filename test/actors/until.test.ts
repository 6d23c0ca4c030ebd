import { createMachine } from 'xstate'
import { describe, expect, it } from 'vitest'
import { asUntil, checkUntil } from '../../actors/until.ts'

const machine = createMachine({
  type: 'parallel',
  states: {
    a: {
      initial: 'x',
      states: { x: { tags: 'early' }, y: { initial: 'z', states: { z: { tags: ['late', 'deep'] } } } },
    },
    b: { initial: 'on', states: { on: {}, off: {}, again: { type: 'history' } } },
  },
})

describe('what is waited for', () => {
  it.each([
    { done: true as const },
    { tag: 'deep' },
    { value: 'a' },
    { value: { a: 'x' } },
    { value: { a: { y: 'z' }, b: 'off' } },
    { value: { b: {} } },
  ])('may be %j', (until) => {
    expect(() => checkUntil(until, machine)).not.toThrow()
    expect(asUntil(until)).toBe(until)
  })

  it.each([
    [{ tag: 'lat' }, 'until.tag: no state has the tag "lat"; there are: early, late, deep'],
    [{ value: 'x' }, 'until.value: there is no state "x"; there are: a, b'],
    [{ value: { a: 'z' } }, 'until.value.a: there is no state "z"; there are: x, y'],
    [{ value: { a: { x: 'z' } } }, 'until.value.a.x: there is no state "z"; there are none in it'],
    [{ value: { a: 'toString' } }, 'there is no state "toString"'],
    [{ value: { b: { on: {}, off: {} } } }, 'names "on" and "off", of which the machine is in one at a time'],
    [{ value: { b: 'again' } }, '"again" is a history state'],
    [{ value: 5 }, 'until.value must be the key of a state, or an object of states'],
  ])('that cannot come true is refused: %j', (until, reason) => {
    expect(() => checkUntil(until, machine)).toThrow(reason)
  })

  it.each([
    undefined,
    null,
    'done',
    {},
    { done: false },
    { tag: '' },
    { tag: 'a', done: true },
    { value: undefined },
  ])('in another shape is refused: %j', (given) => {
    expect(() => asUntil(given)).toThrow('until: must be { done: true }')
  })
})
