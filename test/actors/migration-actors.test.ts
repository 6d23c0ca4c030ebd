import { assign, sendTo, setup } from 'xstate'
import type { AnyActorRef } from 'xstate'
import { describe, expect, it } from 'vitest'
import { faultOf } from './fault-of.ts'
import { asItIs, children, migrated, order, pay, types, version } from './migrated.ts'
import { VirtualSession } from './virtual-session.ts'

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
const toCounter = { ADD: { actions: sendTo('counter', { type: 'ADD' }) } }
const withCounter = { invoke: { id: 'counter', src: 'counter' }, on: toCounter }

describe('actors of a migrated session', () => {
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
})
