import { assign, cancel, fromPromise, raise, sendTo, setup } from 'xstate'
import type { AnyActorRef, AnyStateMachine } from 'xstate'
import { describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { MigratedSession, SessionConfig, StoredSession } from '../../actors/define-session.ts'
import { TroupeError } from '../../actors/errors.ts'
import { faultOf } from './fault-of.ts'
import { VirtualSession } from './virtual-session.ts'

type Migrate = (stored: StoredSession) => MigratedSession

const asItIs: Migrate = ({ value, context }) => ({ value, context })

function version(number: number, machine: AnyStateMachine, migrate?: Migrate): unknown {
  const config: SessionConfig<AnyStateMachine> = { name: 'order', version: number, machine }
  return defineSession(migrate === undefined ? config : { ...config, migrate })
}

/** A session of version 1 after these events, gone on with version 2. */
function migrated(
  one: AnyStateMachine,
  events: readonly string[],
  two: AnyStateMachine,
  migrate: Migrate = asItIs,
): VirtualSession {
  const session = new VirtualSession(version(1, one))
  for (const type of events) session.send({ type })
  session.migrateTo(version(2, two, migrate))
  return session
}

const types = { context: {} as Record<string, unknown>, events: {} as { type: string } }

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

describe('actors of a migrated session', () => {
  const counter = (step: number, after?: object) =>
    setup({ types }).createMachine({
      id: 'counter',
      context: { n: 0 },
      initial: 'on',
      states: {
        on: {
          on: { ADD: { actions: assign({ n: ({ context }) => (context['n'] as number) + step }) } },
          ...after,
        },
        off: {},
      },
    })
  const pay = fromPromise<string, { cents: number }>(({ input }) => Promise.resolve(`paid ${input.cents}`))
  const order = (actors: Record<string, unknown>, states: Record<string, object>, more: object = {}) =>
    setup({ types, actors: actors as never }).createMachine({
      id: 'order',
      context: {},
      initial: Object.keys(states)[0] as never,
      states: states as never,
      ...more,
    } as never) as unknown as AnyStateMachine
  const children = (
    session: VirtualSession,
  ): Record<string, { snapshot: { value?: unknown; context?: unknown } }> =>
    (JSON.parse(session.record.internals) as { children?: Record<string, never> }).children ?? {}
  const toCounter = { ADD: { actions: sendTo('counter', { type: 'ADD' }) } }
  const withCounter = { invoke: { id: 'counter', src: 'counter' }, on: toCounter }

  it('MG1 a machine goes on where it was, under its new version', () => {
    const session = migrated(
      order({ counter: counter(1) }, { busy: withCounter }),
      ['ADD', 'ADD'],
      order({ counter: counter(10) }, { busy: withCounter }),
    )
    session.send({ type: 'ADD' })
    expect(children(session)['counter']?.snapshot.context).toEqual({ n: 12 })
  })

  it('MG1 a promise that runs goes on: its execution and its effect key stay', () => {
    const one = order({ pay }, { paying: { invoke: { id: 'pay', src: 'pay', input: { cents: 5 } } } })
    const two = order(
      { pay },
      { paying: { invoke: { id: 'pay', src: 'pay', input: { cents: 9 }, onDone: 'paid' } }, paid: {} },
    )
    const session = new VirtualSession(version(1, one))
    const before = session.kernel.restore(session.record).runs
    session.migrateTo(version(2, two, asItIs))
    const live = session.kernel.restore(session.record)
    expect(live.runs).toEqual(before)
    expect(session.kernel.promisesOf(live)[0]?.input).toEqual({ cents: 5 })
    const settled = session.kernel.settle(live, before[0]?.key ?? -1, { output: 'ok' })
    expect(settled?.plan.state).toContain('"value":"paid"')
  })

  it('MG1 a promise of a state that it leaves ends, and that of a state that is new to it starts', () => {
    const one = order({ pay }, { paying: { invoke: { id: 'pay', src: 'pay', input: { cents: 5 } } } })
    const two = order(
      { pay },
      {
        paying: { invoke: { id: 'pay', src: 'pay' } },
        refunding: {
          invoke: { id: 'refund', src: 'pay', input: ({ event }: { event: unknown }) => ({ cents: event }) },
        },
      },
    )
    const session = migrated(one, [], two, ({ context }) => ({ value: 'refunding', context }))
    const live = session.kernel.restore(session.record)
    expect(live.runs).toMatchObject([{ path: ['refund'], attempt: 1 }])
    expect(session.kernel.promisesOf(live)[0]?.input).toEqual({ cents: { type: 'troupe.migrated', from: 1 } })
  })

  it('MG1 one whose logic has another name now starts anew; one that has ended does not', () => {
    const one = order({ pay }, { paying: { invoke: { id: 'pay', src: 'pay', input: { cents: 5 } } } })
    const two = order(
      { charge: pay },
      { paying: { invoke: { id: 'pay', src: 'charge', input: { cents: 5 } } } },
    )
    const renamed = migrated(one, [], two)
    expect(renamed.kernel.promisesOf(renamed.kernel.restore(renamed.record))).toMatchObject([
      { src: 'charge', attempt: 1 },
    ])
    const session = new VirtualSession(version(1, one))
    session.settle({ output: 'ok' })
    for (const machine of [one, two]) {
      session.migrateTo(version(2, machine, asItIs))
      expect(session.kernel.restore(session.record).runs).toEqual([])
    }
  })

  it('MG1 spawned ones stay as long as their logic has its name; inline ones of states that are gone do not', () => {
    const spawning = {
      on: { SPAWN: { actions: assign({ ref: ({ spawn }) => spawn('counter', { id: 'mine' }) }) } },
    }
    const one = order({ counter: counter(1) }, { busy: { ...spawning, invoke: { src: counter(1) } } })
    const kept = migrated(one, ['SPAWN'], order({ counter: counter(1) }, { calm: {} }), ({ context }) => ({
      value: 'calm',
      context,
    }))
    expect(Object.keys(children(kept))).toEqual(['mine'])
    const none = children(
      migrated(one, ['SPAWN'], order({ other: counter(1) }, { calm: {} }), () => ({
        value: 'calm',
        context: {},
      })),
    )
    expect(none).toEqual({})
  })

  it('MG1 references in the context go on, also in a result that is frozen; so do delayed events for children and system ids', () => {
    const child = setup({ types }).createMachine({
      id: 'counter',
      context: { n: 0 },
      on: { ADD: { actions: assign({ n: ({ context }) => (context['n'] as number) + 1 }) } },
    })
    const machine = order(
      { counter: child },
      { busy: { invoke: { id: 'counter', src: 'counter', systemId: 'the-counter' } } },
      {
        on: {
          SPAWN: { actions: assign({ ref: ({ spawn }) => spawn('counter', { id: 'mine' }) }) },
          POKE: { actions: sendTo(({ context }) => context['ref'] as AnyActorRef, { type: 'ADD' }) },
          LATER: { actions: sendTo('counter', { type: 'ADD' }, { delay: 20 }) },
          BY_SYSTEM: {
            actions: sendTo(({ system }) => system.get('the-counter') as AnyActorRef, { type: 'ADD' }),
          },
        },
      },
    )
    const session = migrated(machine, ['SPAWN', 'LATER'], machine, ({ value, context }) =>
      Object.freeze({
        value,
        context: Object.freeze({ ...context, ref: Object.freeze(context['ref'] as object) }),
      }),
    )
    for (const type of ['POKE', 'BY_SYSTEM']) session.send({ type })
    session.advance(20)
    const counts = Object.entries(children(session)).map(([id, { snapshot }]) => [id, snapshot.context])
    expect(Object.fromEntries(counts)).toEqual({ mine: { n: 1 }, counter: { n: 2 } })
  })

  it('MG1 migrate may change them, and leave some out: what a state invokes starts anew then', () => {
    const one = order({ counter: counter(1) }, { busy: withCounter })
    const two = order({ counter: counter(1, {}) }, { busy: withCounter })
    const changed = migrated(one, ['ADD'], two, ({ value, context, children: { counter: child } }) => {
      if (child === undefined) throw new Error('it is there')
      return { value, context, children: { counter: { ...child, value: 'off', context: { n: 77 } } } }
    })
    expect(children(changed)['counter']?.snapshot).toMatchObject({ value: 'off', context: { n: 77 } })
    const anew = migrated(one, ['ADD'], two, ({ value, context }) => ({ value, context, children: {} }))
    expect(children(anew)['counter']?.snapshot).toMatchObject({ value: 'on', context: { n: 0 } })
  })

  it('MG1 a child that migrate puts into another state gets its timers', () => {
    const child = setup({ types }).createMachine({
      id: 'counter',
      context: {},
      initial: 'on',
      states: { on: {}, off: { after: { 10: 'gone' } }, gone: {} },
    })
    const session = migrated(
      order({ counter: counter(1) }, { busy: withCounter }),
      [],
      order({ counter: child }, { busy: withCounter }),
      ({ value, context, children: all }) => ({
        value,
        context,
        children: Object.fromEntries(Object.entries(all).map(([id, one]) => [id, { ...one, value: 'off' }])),
      }),
    )
    session.advance(10)
    expect(children(session)['counter']?.snapshot.value).toBe('gone')
  })

  it('a child in a state that is not there any more is named', () => {
    const without = setup({ types }).createMachine({
      id: 'counter',
      context: {},
      initial: 'x',
      states: { x: {} },
    })
    const fault = faultOf(() =>
      migrated(
        order({ counter: counter(1) }, { busy: withCounter }),
        [],
        order({ counter: without }, { busy: withCounter }),
      ),
    )
    expect(fault.message).toContain('actor "counter": value: there is no state "on"; there are: x')
  })

  it('MG1 that it goes on is no news to who watches it; what it does then is', () => {
    const watching = {
      invoke: {
        id: 'counter',
        src: 'counter',
        onSnapshot: {
          actions: assign({ heard: ({ context }) => ((context['heard'] as number | undefined) ?? 0) + 1 }),
        },
      },
      on: toCounter,
    }
    const machine = order({ counter: counter(1) }, { busy: watching })
    const session = new VirtualSession(version(1, machine))
    session.send({ type: 'ADD' })
    const heard = (session.state.context as { heard: number }).heard
    session.migrateTo(version(2, machine, asItIs))
    expect(session.state.context).toEqual({ heard })
    session.send({ type: 'ADD' })
    expect(session.state.context).toEqual({ heard: heard + 1 })
  })

  describe('that are invoked without an id of their own', () => {
    const states = (id?: string) => ({
      paying: {
        invoke: { src: 'pay', input: { cents: 5 }, onDone: 'paid' },
        ...(id === undefined ? {} : { id }),
      },
      paid: {},
    })
    const runsOf = (session: VirtualSession) => session.kernel.restore(session.record).runs

    it('MG1 go on where the machine has another id now, or invokes them at another place: the same execution', () => {
      const one = new VirtualSession(version(1, order({ pay }, states(), { id: 'order' })))
      const [before] = runsOf(one)
      const input = { cents: 5 }
      const invoke = [
        { src: 'log', input },
        { src: 'pay', input, onDone: 'paid' },
      ]
      const two = order({ pay, log: pay }, { paying: { invoke }, paid: {} }, { id: 'purchase' })
      one.migrateTo(version(2, two, asItIs))
      expect(runsOf(one)).toEqual([{ ...before, path: ['1.purchase.paying'] }])
      one.settle({ output: 'ok' })
      expect(one.state.value).toBe('paid')
    })

    it('MG1 go on as what the machine itself invokes, and so do children with timers and promises of their own', () => {
      const child = (id: string) =>
        setup({ types, actors: { pay } }).createMachine({
          id,
          context: {},
          initial: 'waiting',
          invoke: { src: 'pay', input: { cents: 1 } },
          states: { waiting: { after: { 50: 'gone' } }, gone: {} },
        })
      const machine = (id: string) =>
        order({ child: child(`${id}-child`) }, { busy: {} }, { id, invoke: { src: 'child' } })
      const session = new VirtualSession(version(1, machine('one')))
      const [before] = runsOf(session)
      session.advance(30)
      session.migrateTo(version(2, machine('two'), asItIs))
      expect(runsOf(session)).toEqual([{ ...before, path: ['0.two', '0.two-child'] }])
      session.advance(20)
      expect(children(session)['0.two']?.snapshot.value).toBe('gone')
    })

    it('MG1 do not where they had come to their end', () => {
      const paying = {
        type: 'parallel',
        states: {
          a: { invoke: { src: 'pay', input: { cents: 5 } } },
          b: { invoke: { src: 'pay', input: { cents: 5 } } },
        },
      }
      const session = new VirtualSession(version(1, order({ pay }, { paying })))
      session.settle({ output: 'ok' })
      expect(runsOf(session)).toMatchObject([{ path: ['0.order.paying.b'] }])
      session.migrateTo(version(2, order({ pay }, { paying }, { id: 'purchase' }), asItIs))
      expect(runsOf(session)).toMatchObject([{ path: ['0.purchase.paying.b'] }])
    })

    it('must be told of where their state has another id of its own: it may be the same, or another one', () => {
      const one = order({ pay }, states('first'))
      const two = order({ pay }, states('second'))
      const fault = faultOf(() => migrated(one, [], two))
      expect(fault.message).toContain(
        'it cannot be told whether actor "0.first" is what state "paying" invokes, since neither has an id of its own',
      )
      const anew = migrated(one, [], two, (stored) => ({ ...asItIs(stored), starts: ['paying'] }))
      expect(runsOf(anew)).toMatchObject([{ path: ['0.second'] }])
      const ended = migrated(one, [], two, (stored) => ({ ...asItIs(stored), children: {} }))
      expect(runsOf(ended)).toEqual([])
    })
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
