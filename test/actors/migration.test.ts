import { assign, cancel, raise, setup } from 'xstate'
import type { AnyStateMachine } from 'xstate'
import { describe, expect, it } from 'vitest'
import type { StoredSession } from '../../actors/define-session.ts'
import { TroupeError } from '../../actors/errors.ts'
import { faultOf } from './fault-of.ts'
import { asItIs, migrated, types, version } from './migrated.ts'
import type { Migrate } from './migrated.ts'
import { VirtualSession } from './virtual-session.ts'

describe('what migrate makes of a session', () => {
  const one = setup({ types }).createMachine({
    id: 'order',
    context: { cents: 1200 },
    initial: 'open',
    states: { open: { on: { PAY: 'paid' } }, paid: {} },
  })

  it('MG1 is its state from then on, without entry actions; what the new version says of it is shown', () => {
    const entered: string[] = []
    const two = setup({ types, actions: { enter: () => void entered.push('settled') } }).createMachine({
      id: 'order',
      context: { euros: 0 },
      initial: 'open',
      states: {
        open: { on: { PAY: 'settled' } },
        settled: { tags: 'final-ish', entry: 'enter', on: { REFUND: 'open' } },
      },
    })
    const seen: StoredSession[] = []
    const session = migrated(one, ['PAY'], two, (stored) => {
      seen.push(structuredClone(stored))
      return { value: 'settled', context: { euros: (stored.context['cents'] as number) / 100 } }
    })
    expect(seen).toEqual([{ version: 1, value: 'paid', context: { cents: 1200 }, children: {} }])
    expect(session.state).toEqual({
      status: 'active',
      value: 'settled',
      context: { euros: 12 },
      tags: ['final-ish'],
      accepts: ['REFUND'],
    })
    expect(entered).toEqual([])
    session.send({ type: 'REFUND' })
    session.send({ type: 'PAY' })
    expect(entered).toEqual(['settled'])
  })

  it('MG1 a value that is not told to the leaves is completed, and an `always` goes on from it at once', () => {
    const two = setup({ types }).createMachine({
      context: {},
      initial: 'open',
      states: {
        open: {},
        busy: {
          initial: 'sorting',
          states: {
            sorting: { always: { guard: ({ context }) => context['cents'] === 1200, target: 'big' } },
            big: {},
          },
        },
      },
    })
    const session = migrated(one, ['PAY'], two, ({ context }) => ({ value: 'busy', context }))
    expect(session.state.value).toEqual({ busy: 'big' })
  })

  it('MG1 wildcards of the machine do not hear of it', () => {
    const two = setup({ types }).createMachine({
      context: {},
      type: 'parallel',
      on: { '*': { actions: assign({ heard: ({ event }) => event.type }) } },
      states: {
        a: { initial: 'x', on: { '*': '.y' }, states: { x: { on: { '*': 'y' } }, y: {} } },
        b: { initial: 'x', states: { x: { after: { 10: 'y' } }, y: {} } },
      },
    })
    const session = migrated(one, [], two, () => ({ value: { a: 'x', b: 'x' }, context: {} }))
    expect(session.state).toMatchObject({ value: { a: 'x', b: 'x' }, context: {} })
    session.advance(10)
    expect(session.state.value).toMatchObject({ b: 'y' })
  })

  it.each<[string, Migrate, string]>([
    [
      'throws',
      () => {
        throw new Error('no such price')
      },
      'no such price',
    ],
    ['returns nothing', () => undefined as never, 'it must return { value, context }, and at once'],
    [
      'returns a promise',
      () => Promise.resolve({}) as never,
      'it must return { value, context }, and at once',
    ],
    ['names no state', ({ context }) => ({ context }) as never, 'value must be a state'],
    ['gives no context', () => ({ value: 'open', context: null }) as never, 'context must be an object'],
    [
      'gives what is not known',
      () => ({ ...asItIs({} as never), value: 'open', context: {}, state: 1 }) as never,
      'state is not known; there are: value, context, children, starts',
    ],
    [
      'names a state that is not there',
      ({ context }) => ({ value: 'gone', context }),
      'value: there is no state "gone"; there are: open, paid, split, back, end',
    ],
    ['names what every object has', ({ context }) => ({ value: 'toString', context }), 'no state "toString"'],
    [
      'names two states at once',
      ({ context }) => ({ value: { open: {}, paid: {} }, context }),
      'value names "open" and "paid", of which the machine is in one at a time',
    ],
    [
      'names a state by a number',
      ({ context }) => ({ value: { split: 5 }, context }) as never,
      'value.split must be the key of a state, or an object of states',
    ],
    ['names a history state', ({ context }) => ({ value: 'back', context }), '"back" is a history state'],
    [
      'starts a state that is not there',
      ({ value, context }) => ({ value, context, starts: ['split.b'] }),
      'starts names "split.b", and the machine has no such state',
    ],
    [
      'starts what is no path',
      ({ value, context }) => ({ value, context, starts: [1] }) as never,
      'starts must be a list of paths of states',
    ],
    ['names a final state', ({ context }) => ({ value: 'end', context }), 'state "end" is final'],
    [
      'gives what cannot be stored',
      () => ({ value: 'open', context: { at: new Date() } }),
      'the context cannot be stored as JSON at at',
    ],
    [
      'gives a child that was not there',
      ({ context, value }) => ({ value, context, children: { x: { src: 'y', children: {} } } }),
      'a child "x" that the session does not have',
    ],
  ])('that %s is a clear error', (_, migrate, reason) => {
    const two = setup({ types }).createMachine({
      id: 'order',
      context: {},
      initial: 'open',
      states: {
        open: {},
        paid: {},
        split: { initial: 'a', states: { a: {} } },
        back: { type: 'history' },
        end: { type: 'final' },
      },
    })
    const fault = faultOf(() => migrated(one, ['PAY'], two, migrate))
    expect(fault).toBeInstanceOf(TroupeError)
    expect(fault.code).toBe('internal')
    expect(fault.message).toContain(
      'machine "order" (version 2) failed while migrating a session of version 1 in state "paid": ',
    )
    expect(fault.message).toContain(reason)
  })

  it('one that has ended is shown with its output', () => {
    const ended = setup({ types }).createMachine({
      context: { n: 1 },
      initial: 'a',
      states: { a: { on: { END: 'end' } }, end: { type: 'final', output: 7 } },
      output: ({ event }) => (event as unknown as { output: unknown }).output,
    })
    const session = migrated(ended, ['END'], ended, ({ value, children }) => {
      expect(children).toEqual({})
      return { value, context: { n: 2 } }
    })
    expect(session.state).toMatchObject({ status: 'done', value: 'end', context: { n: 2 }, output: 7 })
  })
})

describe('timers of a migrated session', () => {
  const machine = (id: string, states: Record<string, object>) =>
    setup({
      types,
      delays: { later: ({ context }) => (context['later'] as number | undefined) ?? 100 },
    }).createMachine({
      id,
      context: {},
      initial: Object.keys(states)[0] as never,
      states: states as never,
    }) as unknown as AnyStateMachine
  const one = machine('order', {
    open: { on: { GO: 'waiting' } },
    waiting: {
      after: { 100: 'late', 20: { actions: assign({ reminded: true }) } },
      entry: raise({ type: 'NUDGE' }, { id: 'nudge', delay: 60 }),
    },
    late: {},
  })
  const nudges = { NUDGE: { actions: assign({ nudged: true }) }, CALM: { actions: cancel('nudge') } }

  it('MG1 those that it has go on; one that has fired is not armed again', () => {
    const session = new VirtualSession(version(1, one))
    session.send({ type: 'GO' })
    session.advance(30)
    expect(session.state.context).toEqual({ reminded: true })
    const two = machine('order', {
      waiting: { after: { 100: 'overdue', 20: { actions: assign({ again: true }) } }, on: nudges },
      overdue: {},
    })
    session.migrateTo(version(2, two, asItIs))
    session.advance(40)
    expect(session.state.context).toEqual({ reminded: true, nudged: true })
    session.advance(29)
    expect(session.state.value).toBe('waiting')
    session.advance(1)
    expect(session.state.value).toBe('overdue')
  })

  it('MG1 a timer that was armed by hand is still reached by its id', () => {
    const session = migrated(one, ['GO'], machine('order', { waiting: { on: nudges } }))
    session.send({ type: 'CALM' })
    session.advance(1000)
    expect(session.state.context).toEqual({})
  })

  it.each([
    ['has another delay', 'order'],
    ['belongs to a machine of another id', 'purchase'],
  ])('MG1 one that %s starts anew', (_, id) => {
    const session = migrated(one, ['GO'], machine(id, { waiting: { after: { 500: 'late' } }, late: {} }))
    session.advance(499)
    expect(session.state.value).toBe('waiting')
    session.advance(1)
    expect(session.state.value).toBe('late')
  })

  it('MG1 one of a machine that has another id now goes on, with its time; also one of the machine itself', () => {
    const whole = (id: string) =>
      setup({ types }).createMachine({
        id,
        context: {},
        after: { 90: { actions: assign({ old: true }) } },
        initial: 'waiting',
        states: { waiting: { after: { 60: 'late' } }, late: {} },
      })
    const session = new VirtualSession(version(1, whole('order')))
    session.advance(50)
    session.migrateTo(version(2, whole('purchase'), asItIs))
    session.advance(10)
    expect(session.state).toMatchObject({ value: 'late', context: {} })
    session.advance(30)
    expect(session.state.context).toEqual({ old: true })
  })

  it('MG1 those of states that are new to it start, with delays of the new context', () => {
    const two = machine('order', { review: { after: { later: 'late' } }, late: {} })
    const session = migrated(one, ['GO'], two, () => ({ value: 'review', context: { later: 40 } }))
    session.advance(39)
    expect(session.state.value).toBe('review')
    session.advance(1)
    expect(session.state.value).toBe('late')
    session.advance(1000)
    expect(session.state.context).toEqual({ later: 40 })
  })

  it('MG1 those that a state has got since then start only if migrate says so', () => {
    const two = machine('order', { open: { after: { 50: 'late' } }, late: {} })
    const left = migrated(one, [], two)
    left.advance(1000)
    expect(left.state.value).toBe('open')
    const started = migrated(one, [], two, ({ value, context }) => ({ value, context, starts: ['open'] }))
    started.advance(50)
    expect(started.state.value).toBe('late')
  })
})

it('MG1 history that still has its states is kept', () => {
  const one = setup({ types }).createMachine({
    id: 'm',
    context: {},
    initial: 'work',
    states: {
      work: {
        initial: 'a',
        states: { a: { on: { B: 'b' } }, b: {}, h: { type: 'history' } },
        on: { OUT: 'rest' },
      },
      rest: { on: { IN: 'work.h' } },
    },
  })
  const session = migrated(one, ['B', 'OUT'], one)
  session.send({ type: 'IN' })
  expect(session.state.value).toEqual({ work: 'b' })
  const without = setup({ types }).createMachine({
    id: 'm',
    context: {},
    initial: 'work',
    states: {
      work: { initial: 'a', states: { a: {}, h: { type: 'history' } } },
      rest: { on: { IN: 'work.h' } },
    },
  })
  const other = migrated(one, ['B', 'OUT'], without)
  other.send({ type: 'IN' })
  expect(other.state.value).toEqual({ work: 'a' })
})
