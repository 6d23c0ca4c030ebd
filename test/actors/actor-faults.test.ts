/** What a machine with actors does wrong: its sender hears of it, nothing is committed, and the session goes on as if it had not been sent. */
import {
  assign,
  createActor,
  enqueueActions,
  fromPromise,
  fromTransition,
  raise,
  sendParent,
  sendTo,
  setup,
  spawnChild,
} from 'xstate'
import type { AnyStateMachine } from 'xstate'
import { describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { faultOf } from './fault-of.ts'
import { VirtualSession } from './virtual-session.ts'

const thrower = (): never => {
  throw new Error('it broke')
}
const types = { context: {} as { pings: number; caught?: string }, events: {} as { type: string } }
const fragile = setup({ types: { events: {} as { type: string } } }).createMachine({
  id: 'fragile',
  on: { BREAK: { guard: thrower }, ACT: { actions: assign(thrower) } },
})
const done = setup({}).createMachine({ initial: 'x', states: { x: { type: 'final' } }, output: thrower })
const sum = fromTransition((total: number, { type }: { type: string }): number => {
  if (type === 'BREAK') thrower()
  return total + 1
}, 0)
const wait = fromPromise(() => new Promise<string>(() => undefined))
const pinging = setup({ types: { events: {} as { type: string } } }).createMachine({
  on: { PING: { actions: sendParent({ type: 'PONG' }) } },
})
const timed = setup({ delays: { broken: thrower } }).createMachine({ after: { broken: {} } })

it('what an actor threw comes to onError as a record can hold it, like the error of a promise', () => {
  const failing = setup({ types: { events: {} as { type: string } } }).createMachine({
    on: { BREAK: { guard: thrower } },
  })
  const parent = setup({
    types: {} as { context: { error: unknown }; events: { type: string } },
    actors: { failing },
  }).createMachine({
    context: { error: null },
    invoke: {
      id: 'failing',
      src: 'failing',
      onError: { actions: assign({ error: ({ event }) => event.error }) },
    },
    on: { GO: { actions: sendTo('failing', { type: 'BREAK' }) } },
  })
  const session = new VirtualSession(defineSession({ name: 'd', version: 1, machine: parent }))
  session.send({ type: 'GO' })
  const { error } = session.state.context as { error: { name: string; message: string } }
  expect(error.name).toBe('Error')
  expect(error.message).toContain('it broke')
})

/** A machine that counts PINGs, and does something wrong at GO. */
function machine(go: unknown, more: object = {}): AnyStateMachine {
  return setup({
    types,
    actors: { fragile, done, sum, wait, pinging, timed },
    actions: { count: assign({ pings: ({ context }) => context.pings + 1 }) },
  }).createMachine({
    id: 'driven',
    context: { pings: 0 },
    initial: 'calm',
    on: { PING: { actions: 'count' }, GO: go as object },
    states: { calm: {}, busy: {} },
    ...more,
  } as never) as unknown as AnyStateMachine
}

const invoking = (src: string, more: object = {}): AnyStateMachine =>
  machine({ target: '.busy' }, { states: { calm: {}, busy: { invoke: { id: 'it', src, ...more } } } })
const doing = (actions: unknown, more: object = {}): AnyStateMachine => machine({ actions }, more)
const withChild = (src: string, event: string): AnyStateMachine =>
  doing(sendTo('it', { type: event }), { invoke: { id: 'it', src } })

const cases: [string, AnyStateMachine, string][] = [
  ['an input mapper that throws', invoking('wait', { input: thrower }), 'it broke'],
  ['enqueueActions that throws', doing(enqueueActions(thrower)), 'it broke'],
  ['an event maker that throws', doing(raise(thrower)), 'it broke'],
  [
    'an entry action that throws',
    machine('.busy', { states: { calm: {}, busy: { entry: assign(thrower) } } }),
    'it broke',
  ],
  [
    'an exit action that throws',
    machine('.busy', { states: { calm: { exit: assign(thrower) }, busy: {} } }),
    'it broke',
  ],
  ['an event for an actor that is not there', doing(sendTo('nobody', { type: 'X' })), 'nobody'],
  [
    'an actor without logic',
    doing(spawnChild('nothing' as never, { id: 'x' })),
    'spawns actor "x" from logic that is not in setup({ actors })',
  ],
  [
    'a delay that is no number',
    doing(raise({ type: 'X' }, { delay: Number.NaN })),
    'the delay of "X" is NaN',
  ],
  ['events that never end', doing(raise({ type: 'GO' })), 'GO'],
  [
    'actors that keep each other busy',
    doing(sendTo('it', { type: 'PING' }), {
      invoke: { id: 'it', src: 'pinging' },
      on: {
        GO: { actions: sendTo('it', { type: 'PING' }) },
        PONG: { actions: sendTo('it', { type: 'PING' }) },
      },
    }),
    'send each other more than 1000 events',
  ],
]

describe('what a machine with actors does wrong', () => {
  it.each(cases)('%s', (_, faulty, reason) => {
    const session = new VirtualSession(defineSession({ name: 'driven', version: 3, machine: faulty }))
    const before = session.record
    const fault = faultOf(() => session.send({ type: 'GO' }))
    expect(fault.code).toBe('internal')
    expect(fault.message).toMatch(
      /^machine "driven" \(version 3\) failed while handling "GO" in state ("calm"|\{\}): /,
    )
    expect(fault.message).toContain(reason)
    expect(session.record).toEqual(before)
    session.send({ type: 'PING' })
    session.send({ type: 'PING' })
    if (!('GO' in (faulty.config.on ?? {}) && 'PONG' in (faulty.config.on ?? {})))
      expect(session.state.context).toEqual({ pings: 2 })
  })
})

const childFaults: [string, AnyStateMachine][] = [
  ['a guard that throws', withChild('fragile', 'BREAK')],
  ['an assign that throws', withChild('fragile', 'ACT')],
  ['a transition function that throws', withChild('sum', 'BREAK')],
  ['an output mapper that throws', invoking('done')],
  ['a delay that throws', invoking('timed')],
]

describe('what an actor of a machine does wrong', () => {
  it.each(childFaults)(
    '%s: the machine ends with the error, as in XState, if nothing catches it',
    (_, faulty) => {
      const session = new VirtualSession(defineSession({ name: 'driven', version: 3, machine: faulty }))
      session.send({ type: 'GO' })
      expect(session.state.status).toBe('error')
      expect(session.errors).toEqual([expect.stringContaining('it broke')])
      const live = createActor(faulty)
      live.subscribe({ error: () => undefined })
      live.start()
      live.send({ type: 'GO' })
      expect(live.getSnapshot().status).toBe('error')
    },
  )
})
