import { assign, createMachine, emit, raise, setup, spawnChild } from 'xstate'
import type { AnyStateMachine } from 'xstate'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineSession } from '../../actors/define-session.ts'
import type { SessionDefinition } from '../../actors/define-session.ts'
import { TroupeError } from '../../actors/errors.ts'
import { Kernel } from '../../actors/kernel.ts'
import { counterSession } from '../runtime/host-machines.ts'
import { Driven, recordOf } from './driven.ts'

function driven(machine: AnyStateMachine): Driven {
  return new Driven(defineSession({ name: 'driven', version: 1, machine }))
}

const setupAny = setup({
  types: {} as { context: Record<string, unknown>; events: { type: 'A'; value?: unknown } },
})

/** The fault of sending A, which must leave the session as it was. */
function faultOf(machine: AnyStateMachine): TroupeError {
  const session = driven(machine)
  const before = session.plan
  try {
    session.send('A')
  } catch (error) {
    expect(session.plan).toBe(before)
    if (error instanceof TroupeError) return error
    throw error
  }
  return expect.unreachable('it went through')
}

const thrower = (): never => {
  throw new Error('on purpose')
}

describe('a machine that fails', () => {
  it.each([
    ['guard', setupAny.createMachine({ context: {}, on: { A: { guard: thrower } } })],
    ['assign', setupAny.createMachine({ context: {}, on: { A: { actions: assign(thrower) } } })],
    ['emit', setupAny.createMachine({ context: {}, on: { A: { actions: emit(thrower) } } })],
    [
      'output',
      setupAny.createMachine({
        context: {},
        initial: 'x',
        output: thrower,
        states: { x: { on: { A: 'y' } }, y: { type: 'final' } },
      }),
    ],
  ] as const)('in its %s: an internal error that says where', (_, machine) => {
    expect(faultOf(machine)).toMatchObject({
      code: 'internal',
      message: expect.stringMatching(
        /^machine "driven" \(version 1\) failed while handling "A" in state .*on purpose/s,
      ) as string,
      cause: expect.anything() as unknown,
    })
  })

  it('goes on with the next event', () => {
    const session = new Driven(counterSession())
    expect(() => session.send('BREAK')).toThrow('it broke')
    expect(session.send('ADD')).toBe(true)
    expect(session.context['n']).toBe(1)
  })

  it.each([
    ['context', setupAny.createMachine({ context: thrower })],
    ['entry', setupAny.createMachine({ context: {}, entry: assign(thrower) })],
    [
      'always',
      setupAny.createMachine({
        context: {},
        initial: 'x',
        states: { x: { always: { guard: thrower, target: 'y' } }, y: {} },
      }),
    ],
  ] as const)('while being created, in its %s', (_, machine) => {
    expect(() => driven(machine)).toThrow(
      expect.objectContaining({
        code: 'internal',
        message: expect.stringContaining('creating a session') as string,
      }),
    )
  })

  it('an eventless loop ends with an error and does not hang', () => {
    const loop = { p: { always: 'q' }, q: { always: 'p' } }
    const machine = setupAny.createMachine({
      context: {},
      initial: 'x',
      states: { x: { on: { A: 'p' } }, ...loop },
    })
    expect(faultOf(machine).code).toBe('internal')
    const raising = setupAny.createMachine({ context: {}, on: { A: { actions: raise({ type: 'A' }) } } })
    expect(faultOf(raising).code).toBe('internal')
    expect(() => driven(setupAny.createMachine({ context: {}, initial: 'p', states: loop }))).toThrow(
      TroupeError,
    )
  })

  it('a view that throws is an internal error; one that works sees snapshot and principal', () => {
    const kernel = new Kernel({
      ...counterSession(),
      view: (
        { context, value }: { context: { n: number }; value: unknown },
        principal: { id: string } | null,
      ) => {
        if (principal === null) throw new Error('nobody may look')
        return { value, n: context.n, for: principal.id }
      },
    } as unknown as SessionDefinition)
    const record = recordOf(kernel.initial({ n: 3 }))
    expect(() => kernel.encodeView(record, null)).toThrow(
      expect.objectContaining({
        code: 'internal',
        message: expect.stringContaining('nobody may look') as string,
      }),
    )
    const view = JSON.parse(kernel.encodeView(record, { id: 'ann' })) as { context: unknown }
    expect(view).toMatchObject({
      id: 'driven',
      version: 1,
      status: 'active',
      context: { value: 'on', n: 3, for: 'ann' },
    })
  })

  it('a record that the machine does not know any more', () => {
    const session = new Driven(counterSession())
    const record = recordOf(session.plan)
    for (const state of [record.state.replace('"value":"on"', '"value":"elsewhere"'), '{', 'null'])
      expect(() => session.kernel.restore({ ...record, state })).toThrow(
        expect.objectContaining({
          code: 'internal',
          message: expect.stringContaining('restoring session driven') as string,
        }),
      )
  })
})

describe('what JSON would change silently', () => {
  class Money {
    readonly cents = 1
  }
  const cyclic: Record<string, unknown> = {}
  cyclic['self'] = cyclic
  it.each<[string, unknown, string]>([
    ['a Date', new Date(0), 'value: a Date'],
    ['a Map', new Map(), 'value: a Map'],
    ['a Set', new Set(), 'value: a Set'],
    ['a bigint', 1n, 'value: a bigint'],
    ['NaN', Number.NaN, 'value: NaN'],
    ['Infinity', -Infinity, 'value: -Infinity'],
    ['a function', () => 1, 'value: a function'],
    ['a symbol', Symbol('s'), 'value: a symbol'],
    ['an instance', new Money(), 'value: a Money'],
    ['an instance of no class', Object.create(Object.create(null) as object), 'value: a class instance'],
    ['a cycle', cyclic, 'value.self: a cycle'],
    ['undefined in an array', [1, undefined], 'value[1]: a undefined'],
    ['a hole in an array', new Array<number>(2), 'value: an array with holes'],
    ['deep inside', { items: [{ at: [null, { when: new Date(0) }] }] }, 'value.items[0].at[1].when: a Date'],
    ['a custom toJSON', { toJSON: () => 1 }, 'value.toJSON: a function'],
  ])('%s in the context is refused, with its path', (_, value, where) => {
    const session = driven(
      setupAny.createMachine({
        context: {},
        on: { A: { actions: assign({ value: ({ event }) => event.value }) } },
      }),
    )
    expect(() => session.send('A', { value })).toThrow(
      expect.objectContaining({ code: 'internal', message: expect.stringContaining(where) as string }),
    )
  })

  it('data that would come back as a reference to an actor is refused, in a machine with actors and in one without', () => {
    const sets = {
      on: { A: { actions: assign({ value: ({ event }: { event: { value: unknown } }) => event.value }) } },
    }
    const plain = { context: {}, ...sets }
    const withActors = {
      ...plain,
      invoke: { id: 'child', src: 'child' },
    }
    const child = setupAny.createMachine({ context: {} })
    for (const machine of [
      setupAny.createMachine(plain as never),
      setup({ types: {} as never, actors: { child } }).createMachine(withActors as never),
    ]) {
      const session = driven(machine as never)
      expect(() => session.send('A', { value: { note: [{ xstate$$type: 1, id: 'child' }] } })).toThrow(
        'the context holds at value.note[0] data with a member "xstate$$type"',
      )
      session.send('A', { value: 'xstate$$type' })
      expect(session.context).toEqual({ value: 'xstate$$type' })
    }
  })

  it('a cycle is named with its path also where there are actors', () => {
    const child = setupAny.createMachine({ context: {} })
    const session = driven(
      setup({ types: {} as never, actors: { child } }).createMachine({
        context: {},
        invoke: { src: 'child' },
        on: { A: { actions: assign({ value: ({ event }: { event: { value: unknown } }) => event.value }) } },
      } as never) as never,
    )
    expect(() => session.send('A', { value: cyclic })).toThrow('value.self: a cycle')
  })

  it('what JSON keeps is kept: the same object twice, undefined members, null prototypes', () => {
    const shared = { a: 1 }
    const bare = Object.assign(Object.create(null) as object, { b: [true, null, 'x', -1.5] })
    const session = driven(
      setupAny.createMachine({
        context: {},
        on: { A: { actions: assign({ value: ({ event }) => event.value }) } },
      }),
    )
    session.send('A', { value: { one: shared, two: shared, gone: undefined, bare } })
    expect(session.context['value']).toEqual({
      one: shared,
      two: shared,
      bare: { b: [true, null, 'x', -1.5] },
    })
  })

  it('in the first context, in the output, in an emitted event', () => {
    expect(() => driven(setupAny.createMachine({ context: { at: new Date(0) } }))).toThrow(
      /creating a session.*at: a Date/,
    )
    const ends = setupAny.createMachine({
      context: {},
      initial: 'x',
      output: () => ({ at: new Date(0) }),
      states: { x: { on: { A: 'y' } }, y: { type: 'final' } },
    })
    expect(faultOf(ends).message).toMatch(/output\.at: a Date/)
    const emits = setupAny.createMachine({
      context: {},
      on: { A: { actions: emit({ type: 'big', value: 1n } as never) } },
    })
    expect(faultOf(emits)).toMatchObject({
      code: 'internal',
      message: expect.stringContaining('value: a bigint') as string,
    })
  })
})

describe('what a record could not hold', () => {
  const on = (actions: unknown): AnyStateMachine =>
    createMachine({ context: {}, on: { A: { actions: actions as () => void } } })
  const child = createMachine({})
  const named = (actions: unknown): AnyStateMachine =>
    setup({ actors: { child } }).createMachine({ context: {}, on: { A: { actions: actions as () => void } } })
  it.each([
    [
      'logic spawned inline',
      on(spawnChild(child, { id: 'c' })),
      'spawns actor "c" from logic without a name',
    ],
    [
      'logic spawned inline in an assignment',
      on(assign(({ spawn }) => ({ child: spawn(child, { id: 'c' }).id }))),
      'spawns actor "c" from logic without a name',
    ],
    [
      'the same, in a machine with actors',
      named(spawnChild(child, { id: 'c' })),
      'spawns actor "c" from logic',
    ],
    ['an actor without an id', named(spawnChild('child')), 'spawns "child" without an id'],
    ['a delay without end', on(raise({ type: 'A' }, { delay: Infinity })), 'the delay of "A" is Infinity'],
    [
      'a delayed event with a function',
      on(raise({ type: 'A', f: () => 1 } as never, { delay: 1 })),
      'A.f: a function',
    ],
  ])('%s: refused where it is used, and nothing is committed', (_, machine, what) => {
    const fault = faultOf(machine)
    expect(fault.code).toBe('internal')
    expect(fault.message).toContain(what)
    expect(fault.message).toContain('handling "A"')
  })
})

describe('events from outside', () => {
  it.each(['*', 'xstate.init', 'xstate.stop', 'xstate.done.actor.x', '@xstate.snapshot.x'])(
    '%s is reserved',
    (type) => {
      expect(() => new Driven(counterSession()).send(type)).toThrow(
        expect.objectContaining({ code: 'event_reserved' }),
      )
    },
  )

  it('types that only look like it are not', () => {
    const session = new Driven(counterSession())
    for (const type of ['xstate', 'XSTATE.stop', 'my.xstate.x', 'x*', ''])
      expect(session.send(type)).toBe(false)
  })

  it('what the schema makes of an event is what the machine gets', () => {
    const session = new Driven(
      defineSession({
        name: 'd',
        version: 1,
        events: z.object({ type: z.literal('A'), by: z.coerce.number() }),
        machine: setup({
          types: {} as { context: { n: number }; events: { type: 'A'; by: number } },
        }).createMachine({
          context: { n: 0 },
          on: { A: { actions: assign({ n: ({ context, event }) => context.n + event.by }) } },
        }),
      }),
    )
    session.send('A', { by: '5', more: 1 })
    expect(session.context).toEqual({ n: 5 })
  })
})

it('a schema of events that makes of one what the audit cannot hold is a fault of the definition', () => {
  const session = new Driven(
    defineSession({
      name: 'd',
      version: 1,
      events: z.object({ type: z.literal('A'), at: z.coerce.date() }),
      machine: setup({ types: {} as { events: { type: 'A'; at: Date } } }).createMachine({ on: { A: {} } }),
    }),
  )
  expect(() => session.kernel.admit({ type: 'A', at: '2026-01-01' } as never)).toThrow(
    expect.objectContaining({
      code: 'internal',
      message: expect.stringContaining(
        'failed while checking "A": what the schema makes of it cannot be stored as JSON at at: a Date',
      ) as string,
    }),
  )
})

it('what is only stored anew need not fit a schema that has changed since', () => {
  const sessionOf = (least: number) =>
    defineSession({
      name: 'd',
      version: 1,
      context: z.object({ n: z.number().min(least) }),
      machine: setup({ types: {} as { context: { n: number } } }).createMachine({
        context: { n: 1 },
        after: { 10: { actions: () => undefined } },
      }),
    })
  const record = recordOf(new Kernel(sessionOf(0) as never).initial(undefined))
  const kernel = new Kernel(sessionOf(5) as never)
  const live = kernel.restore(record)
  expect(() => kernel.fire(live, live.timers[0]?.key ?? -1)).toThrow('context.n')
  expect(kernel.drop(kernel.restore(record), live.timers[0]?.key ?? -1).live.timers).toEqual([])
})
