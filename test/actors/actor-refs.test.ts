/** References to actors, kept in context: the same across storage as in an XState actor that lives on. */
import { assign, createActor, fromPromise, sendParent, sendTo, setup, stopChild } from 'xstate'
import type { ActorRefFrom, AnyActorRef, AnyStateMachine } from 'xstate'
import { describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { SessionDefinition } from '../../actors/define-session.ts'
import { Kernel } from '../../actors/kernel.ts'
import type { Result } from '../../actors/kernel.ts'
import type { Plan } from '../../actors/plan.ts'
import type { PublicState, SessionRecord } from '../../actors/session.ts'
import { recordOf } from './driven.ts'
import { faultOf } from './fault-of.ts'

/** A session of which nothing remains between two steps but its record. */
class Stored {
  readonly #definition: SessionDefinition
  #record: SessionRecord

  constructor(machine: AnyStateMachine) {
    this.#definition = defineSession({ name: 'driven', version: 1, machine })
    this.#record = recordOf(new Kernel(this.#definition).initial(undefined))
  }

  get state(): PublicState {
    return JSON.parse(this.#record.state) as PublicState
  }

  get context(): Record<string, unknown> {
    return this.state.context as Record<string, unknown>
  }

  get children(): Record<string, { snapshot: { context?: unknown } } | undefined> {
    const { children = {} } = JSON.parse(this.#record.internals) as { children?: Stored['children'] }
    return children
  }

  send(event: { type: string }): void {
    const kernel = new Kernel(this.#definition)
    this.#commit(kernel.transition(kernel.restore(this.#record), event))
  }

  settle(result: Result): void {
    const kernel = new Kernel(this.#definition)
    const live = kernel.restore(this.#record)
    const [run] = kernel.promisesOf(live)
    this.#commit(run === undefined ? null : (kernel.settle(live, run.key, result)?.plan ?? null))
  }

  #commit(plan: Plan | null): void {
    if (plan !== null) this.#record = recordOf(plan, this.#record.version + 1)
  }
}

const counter = setup({
  types: {} as { context: { n: number }; events: { type: 'INC' } | { type: 'TELL' } },
}).createMachine({
  context: { n: 0 },
  on: {
    INC: { actions: assign({ n: ({ context }) => context.n + 1 }) },
    TELL: { actions: sendParent(({ context }) => ({ type: 'TOLD', n: context.n })) },
  },
})
type Counter = ActorRefFrom<typeof counter>

interface Refs {
  readonly ref: Counter | undefined
  readonly deep: { readonly list: readonly Counter[] }
  readonly told: readonly number[]
  readonly seen: readonly string[]
}

const types = {} as {
  context: Refs
  events:
    | { type: 'SPAWN' | 'POKE' | 'POKE_DEEP' | 'ASK' | 'STOP' | 'IF_TWO' | 'BY_SYSTEM' | 'RESPAWN' }
    | { type: 'TOLD'; n: number }
}

const parent = setup({ types, actors: { counter } }).createMachine({
  context: { ref: undefined, deep: { list: [] }, told: [], seen: [] },
  on: {
    SPAWN: {
      actions: [
        assign({ ref: ({ spawn }) => spawn('counter', { id: 'x', systemId: 'the-counter' }) }),
        assign({
          deep: ({ spawn }) => ({ list: [spawn('counter', { id: 'y' }), spawn('counter', { id: 'z' })] }),
        }),
      ],
    },
    RESPAWN: {
      actions: assign({ ref: ({ spawn }) => spawn('counter', { id: 'x', systemId: 'the-counter' }) }),
    },
    POKE: { actions: sendTo(({ context }) => context.ref as Counter, { type: 'INC' }) },
    POKE_DEEP: { actions: sendTo(({ context }) => context.deep.list[1] as Counter, { type: 'INC' }) },
    ASK: { actions: sendTo(({ context }) => context.ref as Counter, { type: 'TELL' }) },
    TOLD: { actions: assign({ told: ({ context, event }) => [...context.told, event.n] }) },
    IF_TWO: {
      guard: ({ context }) => context.ref?.getSnapshot().context.n === 2,
      actions: assign({ seen: ({ context }) => [...context.seen, 'two'] }),
    },
    BY_SYSTEM: {
      actions: sendTo(({ system }) => system.get('the-counter') as AnyActorRef, { type: 'INC' }),
    },
    STOP: { actions: [stopChild(({ context }) => context.ref as Counter), assign({ ref: undefined })] },
  },
})

function run(session: { send: (event: { type: string }) => void }, ...events: string[]): void {
  for (const type of events) session.send({ type })
}

function counts(session: Stored): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(session.children).map(([id, child]) => [id, (child?.snapshot.context as { n: number }).n]),
  )
}

describe('references to actors in context, restored before each step', () => {
  it('the record and clients see an id in place of the actor', () => {
    const session = new Stored(parent)
    run(session, 'SPAWN')
    expect(session.context).toEqual({
      ref: { xstate$$type: 1, id: 'x' },
      deep: {
        list: [
          { xstate$$type: 1, id: 'y' },
          { xstate$$type: 1, id: 'z' },
        ],
      },
      told: [],
      seen: [],
    })
  })

  it('sendTo reaches them, also nested ones; they answer', () => {
    const session = new Stored(parent)
    run(session, 'SPAWN', 'POKE', 'POKE', 'POKE_DEEP', 'ASK')
    expect(counts(session)).toEqual({ x: 2, y: 0, z: 1 })
    expect(session.context.told).toEqual([2])
  })

  it('guards read their snapshots', () => {
    const session = new Stored(parent)
    run(session, 'SPAWN', 'IF_TWO', 'POKE', 'IF_TWO', 'POKE', 'IF_TWO', 'POKE', 'IF_TWO')
    expect(session.context.seen).toEqual(['two'])
  })

  it('stopChild stops them', () => {
    const session = new Stored(parent)
    run(session, 'SPAWN', 'POKE', 'POKE', 'STOP')
    expect(counts(session)).toEqual({ y: 0, z: 0 })
    expect(session.context.ref).toBeUndefined()
  })

  it('an actor that was stopped can be spawned anew under its id and systemId', () => {
    const session = new Stored(parent)
    run(session, 'SPAWN', 'POKE', 'POKE', 'STOP', 'RESPAWN', 'POKE', 'BY_SYSTEM', 'ASK')
    expect(counts(session)).toEqual({ x: 2, y: 0, z: 0 })
    expect(session.context.told).toEqual([2])
  })

  it('system.get finds them by their systemId', () => {
    const session = new Stored(parent)
    run(session, 'SPAWN', 'BY_SYSTEM', 'BY_SYSTEM', 'POKE')
    expect(counts(session)).toEqual({ x: 3, y: 0, z: 0 })
  })
})

describe('references that would be lost', () => {
  const child = setup({
    types: {} as {
      context: { other: AnyActorRef | undefined }
      input: AnyActorRef | undefined
      events: { type: string }
    },
    actors: { counter },
  }).createMachine({
    context: ({ input }) => ({ other: input }),
    on: { OWN: { actions: assign({ other: ({ spawn }) => spawn('counter', { id: 'own' }) }) } },
  })
  const holder = setup({
    types: {} as {
      context: { refs: { list: (AnyActorRef | undefined)[] } }
      events: { type: string }
    },
    actors: { counter, child },
  }).createMachine({
    context: { refs: { list: [] } },
    on: {
      SPAWN: {
        actions: assign({ refs: ({ spawn }) => ({ list: [spawn('counter', { id: 'x' })] }) }),
      },
      STOP: { actions: stopChild('x') },
      STOP_AND_CLEAR: { actions: [stopChild('x'), assign({ refs: { list: [] } })] },
      SELF: { actions: assign({ refs: ({ self }) => ({ list: [self] }) }) },
      CHILD: { actions: assign({ refs: ({ spawn }) => ({ list: [spawn('child', { id: 'c' })] }) }) },
      OWN: { actions: sendTo('c', { type: 'OWN' }) },
      GRANDCHILD: {
        actions: assign({
          refs: ({ context }) => {
            const { children } = context.refs.list[0]?.getSnapshot() as {
              children: Record<string, AnyActorRef>
            }
            return { list: [...context.refs.list, children['own']] }
          },
        }),
      },
      SIBLING: {
        actions: assign({
          refs: ({ spawn, context }) => ({
            list: [...context.refs.list, spawn('child', { id: 'd', input: context.refs.list[0] })],
          }),
        }),
      },
    },
  })
  it.each<[string, string[], string]>([
    [
      'to a child that is stopped',
      ['SPAWN', 'STOP'],
      'the context holds at refs.list[0] a reference to actor "x"',
    ],
    ['to itself', ['SELF'], 'the context holds at refs.list[0] a reference to actor "'],
    [
      "to a child's child",
      ['CHILD', 'OWN', 'GRANDCHILD'],
      'the context holds at refs.list[1] a reference to actor "own"',
    ],
    [
      "of a child to its parent's child",
      ['SPAWN', 'SIBLING'],
      'the context of actor "d" holds at other a reference to actor "x"',
    ],
  ])('one %s is refused, and nothing is changed', (_, events, reason) => {
    const session = new Stored(holder)
    const last = events.at(-1) ?? ''
    run(session, ...events.slice(0, -1))
    const before = [session.state, session.children]
    const fault = faultOf(() => run(session, last))
    expect(fault.message).toContain(`failed while handling "${last}" in state {}: ${reason}`)
    expect(fault.message).toContain('none of its own children')
    expect([session.state, session.children]).toEqual(before)
  })

  it('a child that is stopped and cleared in one step is no harm', () => {
    const kernel = new Kernel(defineSession({ name: 'driven', version: 1, machine: holder }))
    const spawned = kernel.transition(kernel.initial(undefined).live, { type: 'SPAWN' })
    if (spawned === null) throw new Error('it changes')
    expect(() => kernel.transition(spawned.live, { type: 'STOP' })).toThrow('none of its own children')
    const live = kernel.restore(recordOf(spawned))
    const cleared = kernel.transition(live, { type: 'STOP_AND_CLEAR' })
    expect(cleared?.state).toContain('"context":{"refs":{"list":[]}}')
  })

  it('a child may hold its own', () => {
    const session = new Stored(holder)
    run(session, 'CHILD', 'OWN')
    expect(session.children['c']?.snapshot.context).toEqual({ other: { xstate$$type: 1, id: 'own' } })
  })
})

describe('snapshots of children as events', () => {
  const synced = setup({
    types: {} as { context: { ref: Counter | undefined; seen: number[] }; events: { type: string } },
    actors: { counter },
  }).createMachine({
    context: { ref: undefined, seen: [] },
    on: {
      SPAWN: { actions: assign({ ref: ({ spawn }) => spawn('counter', { id: 'x', syncSnapshot: true }) }) },
      POKE: { actions: sendTo('x', { type: 'INC' }) },
      NOTHING: { actions: sendTo('x', { type: 'UNKNOWN' } as never) },
      'xstate.snapshot.x': {
        actions: assign({
          seen: ({ context, event }) => [
            ...context.seen,
            (event as unknown as { snapshot: { context: { n: number } } }).snapshot.context.n,
          ],
        }),
      },
    },
  })

  it('syncSnapshot: as in an actor that lives on', () => {
    const events = ['SPAWN', 'POKE', 'NOTHING', 'POKE']
    const actor = createActor(synced).start()
    run(actor, ...events)
    const session = new Stored(synced)
    run(session, ...events)
    expect(session.context.seen).toEqual(actor.getSnapshot().context.seen)
    expect(session.context.seen).toContain(2)
  })

  it.each(['resolves', 'rejects'] as const)(
    'onSnapshot of a promise that %s: as in a live actor',
    async (how) => {
      const machine = setup({
        types: {} as { context: { seen: unknown[] }; events: { type: 'NOTHING' } },
        actors: {
          work: fromPromise(async () => {
            await Promise.resolve()
            if (how === 'rejects') throw new Error('no')
            return 'yes'
          }),
        },
      }).createMachine({
        context: { seen: [] },
        initial: 'working',
        states: {
          working: {
            invoke: {
              id: 'w',
              src: 'work',
              onSnapshot: {
                actions: assign({
                  seen: ({ context, event }) => [
                    ...context.seen,
                    [event.snapshot.status, event.snapshot.output ?? null],
                  ],
                }),
              },
              onDone: 'done',
              onError: 'failed',
            },
          },
          done: {},
          failed: {},
        },
      })
      const actor = createActor(machine).start()
      await expect.poll(() => actor.getSnapshot().value).not.toBe('working')
      const session = new Stored(machine)
      session.send({ type: 'NOTHING' })
      session.settle(how === 'resolves' ? { output: 'yes' } : { error: { name: 'Error', message: 'no' } })
      const { value, context } = actor.getSnapshot()
      expect(session.state).toMatchObject({ value, context })
      expect(context.seen).not.toEqual([])
    },
  )
})
