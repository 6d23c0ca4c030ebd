/**
 * The same machine as a live XState actor with a simulated clock, and here, restored from its record before each step: both
 * must agree in state, context, output, emitted events and the order of actions.
 */
import fc from 'fast-check'
import {
  assign,
  cancel,
  createActor,
  emit,
  enqueueActions,
  fromTransition,
  raise,
  sendParent,
  sendTo,
  setup,
  stopChild,
} from 'xstate'
import type { AnyActorRef, AnyStateMachine } from 'xstate'
import { describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { SessionConfig } from '../../actors/define-session.ts'
import { factoryOf, randomNode, type Factory } from './random-machines.ts'
import { VirtualSession } from './virtual-session.ts'

type Step = { readonly send: string } | { readonly wait: number }

/** What can be seen of a run after each of its steps. */
interface Sight {
  readonly status: string
  readonly value: unknown
  readonly context: unknown
  readonly output: unknown
  readonly said: readonly string[]
  readonly emitted: readonly unknown[]
}

/** Fires each timer at its own time; those of one time in the order armed. XState's jumps to the end first. */
class SteadyClock {
  #now = 0
  #armed: { readonly dueMs: number; readonly act: () => void }[] = []

  setTimeout(act: () => void, ms: number): object {
    const timer = { dueMs: this.#now + ms, act }
    this.#armed.push(timer)
    return timer
  }

  clearTimeout(timer: object): void {
    this.#armed = this.#armed.filter((each) => each !== timer)
  }

  advance(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const dueMs = Math.min(...this.#armed.map((each) => each.dueMs))
      const next = this.#armed.find((each) => each.dueMs === dueMs)
      if (next === undefined || dueMs > until) break
      this.#now = dueMs
      this.clearTimeout(next)
      next.act()
    }
    this.#now = until
  }
}

function runLive(factory: Factory, steps: readonly Step[]): Sight[] {
  const said: string[] = []
  const emitted: unknown[] = []
  const clock = new SteadyClock()
  const actor = createActor(
    factory((what) => said.push(what)),
    { clock, logger: () => undefined },
  )
  actor.subscribe({ error: () => undefined })
  actor.on('*', (event) => emitted.push(event))
  actor.start()
  const look = (): Sight => {
    const { status, value, context, output } = actor.getSnapshot() as unknown as Record<string, unknown>
    return JSON.parse(JSON.stringify({ status, value, context, output, said, emitted })) as Sight
  }
  const sights = [look()]
  for (const step of steps) {
    if ('wait' in step) clock.advance(step.wait)
    else if (actor.getSnapshot().status === 'active') actor.send({ type: step.send })
    sights.push(look())
  }
  return sights
}

/** @param migrating migrated before each step to a version that is the same */
function runStored(factory: Factory, steps: readonly Step[], migrating = false): Sight[] {
  const said: string[] = []
  const machine = factory((what) => said.push(what))
  const session = new VirtualSession(defineSession({ name: 'd', version: 1, machine }))
  const migrate: SessionConfig<AnyStateMachine>['migrate'] = ({ value, context }) => ({ value, context })
  const look = (): Sight => {
    const { status, value, context, output } = session.state
    const { emitted } = session
    return JSON.parse(JSON.stringify({ status, value, context, output, said, emitted })) as Sight
  }
  const sights = [look()]
  for (const step of steps) {
    if (migrating && session.state.status === 'active')
      session.migrateTo(defineSession({ name: 'd', version: 2, machine, migrate }))
    if ('wait' in step) session.advance(step.wait)
    else session.send({ type: step.send })
    sights.push(look())
  }
  return sights
}

// ── Machines by hand ─────────────────────────────────────────────────────────────────────────────────────────────

const patterns: Record<string, Factory> = {
  'after, by number, name and expression, and re-entry that arms anew': (say) =>
    setup({
      types: {} as { context: { n: number }; events: { type: string } },
      delays: { named: 20, computed: ({ context }) => 10 * (context.n + 1) },
      actions: { say: (_, params: string) => say(params) },
    }).createMachine({
      context: { n: 0 },
      initial: 'a',
      states: {
        a: {
          entry: [assign({ n: ({ context }) => context.n + 1 }), { type: 'say', params: 'in a' }],
          exit: { type: 'say', params: 'out of a' },
          after: { 30: 'b', named: { actions: { type: 'say', params: 'named' } } },
          on: { A: { target: 'a', reenter: true }, B: 'b' },
        },
        b: { after: { computed: 'a' }, on: { A: 'a' } },
      },
    }),
  'delayed raise and cancel, by id': (say) =>
    setup({
      types: {} as { context: Record<string, never>; events: { type: string } },
      actions: { say: (_, params: string) => say(params) },
    }).createMachine({
      context: {},
      on: {
        A: { actions: [raise({ type: 'LATE' }, { id: 'late', delay: 25 }), emit({ type: 'armed' })] },
        B: { actions: [cancel('late'), emit({ type: 'cancelled' })] },
        C: { actions: raise({ type: 'D' }) },
        D: { actions: { type: 'say', params: 'D' } },
        LATE: { actions: [{ type: 'say', params: 'late' }, emit({ type: 'late' })] },
      },
    }),
  'a child with timers of its own, told and telling': (say) => {
    const child = setup({
      types: {} as { context: { ticks: number }; events: { type: string } },
      actions: { say: (_, params: string) => say(params) },
    }).createMachine({
      context: { ticks: 0 },
      initial: 'on',
      states: {
        on: {
          entry: { type: 'say', params: 'child on' },
          after: {
            10: {
              target: 'on',
              reenter: true,
              actions: [assign({ ticks: ({ context }) => context.ticks + 1 }), sendParent({ type: 'TICK' })],
            },
          },
          on: { PAUSE: 'off' },
        },
        off: { on: { GO: 'on', END: 'end' } },
        end: { type: 'final' },
      },
      output: ({ context }) => context.ticks,
    })
    return setup({
      types: {} as { context: { seen: number; result: unknown }; events: { type: string } },
      actors: { child },
      actions: { say: (_, params: string) => say(params) },
    }).createMachine({
      context: { seen: 0, result: null },
      initial: 'running',
      states: {
        running: {
          invoke: {
            id: 'ticker',
            src: 'child',
            onDone: { target: 'done', actions: assign({ result: ({ event }) => event.output as unknown }) },
          },
          on: {
            TICK: { actions: assign({ seen: ({ context }) => context.seen + 1 }) },
            A: { actions: sendTo('ticker', { type: 'PAUSE' }) },
            B: { actions: sendTo('ticker', { type: 'GO' }, { delay: 15 }) },
            C: { actions: sendTo('ticker', { type: 'END' }) },
            D: 'idle',
          },
        },
        idle: { entry: { type: 'say', params: 'idle' }, on: { A: 'running' } },
        done: { type: 'final' },
      },
      output: ({ context }) => context,
    })
  },
  'spawned children, kept by reference, stopped, three deep': (say) => {
    const leaf = setup({
      types: {} as { context: { id: string }; input: string; events: { type: string } },
    }).createMachine({
      context: ({ input }) => ({ id: input }),
      after: { 12: { actions: sendParent(({ context }) => ({ type: 'LEAF', id: context.id })) } },
    })
    const branch = setup({
      types: {} as { context: { heard: number }; events: { type: string } },
      actors: { leaf },
      actions: { say: (_, params: string) => say(params) },
    }).createMachine({
      context: { heard: 0 },
      invoke: { id: 'leaf', src: 'leaf', input: 'x' },
      on: {
        LEAF: {
          actions: [
            assign({ heard: ({ context }) => context.heard + 1 }),
            { type: 'say', params: 'branch heard' },
            sendParent({ type: 'UP' }),
          ],
        },
      },
    })
    return setup({
      types: {} as { context: { refs: unknown[]; ups: number; made: number }; events: { type: string } },
      actors: {
        branch,
        sum: fromTransition((sum: number, { by }: { type: 'ADD'; by: number }) => sum + by, 0),
      },
    }).createMachine({
      context: { refs: [], ups: 0, made: 0 },
      on: {
        A: {
          actions: enqueueActions(({ context, enqueue }) => {
            enqueue.assign({ made: context.made + 1 })
            enqueue.spawnChild('branch', { id: `b${context.made}`, systemId: `sys${context.made}` })
          }),
        },
        B: { actions: stopChild('b0') },
        C: {
          actions: assign({
            refs: ({ context, spawn }) => [
              ...context.refs,
              spawn('sum', { id: `s${context.refs.length}` }).id,
            ],
          }),
        },
        D: {
          actions: enqueueActions(({ system, enqueue }) => {
            const first = system.get('sys0') as AnyActorRef | undefined
            if (first !== undefined) enqueue.sendTo(first, { type: 'LEAF' })
          }),
        },
        UP: { actions: assign({ ups: ({ context }) => context.ups + 1 }) },
      },
    })
  },
  'a child that fails, with and without somebody to catch it': (say) => {
    const child = setup({
      types: {} as { events: { type: string } },
      guards: {
        broken: () => {
          throw new Error('broken guard')
        },
      },
    }).createMachine({ on: { FAIL: { guard: 'broken', target: '.x' } }, initial: 'x', states: { x: {} } })
    return setup({
      types: {} as { context: { caught: string }; events: { type: string } },
      actors: { child },
      actions: { say: (_, params: string) => say(params) },
    }).createMachine({
      context: { caught: '' },
      initial: 'caught',
      states: {
        caught: {
          invoke: {
            id: 'c',
            src: 'child',
            onError: {
              target: 'free',
              actions: [
                assign({ caught: ({ event }) => (event.error as Error).message.slice(0, 10) }),
                { type: 'say', params: 'caught' },
              ],
            },
          },
          on: { A: { actions: sendTo('c', { type: 'FAIL' }) } },
        },
        free: { invoke: { id: 'c', src: 'child' }, on: { B: { actions: sendTo('c', { type: 'FAIL' }) } } },
      },
    })
  },
}

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ send: fc.constantFrom('A', 'B', 'C', 'D') }),
  fc.record({ wait: fc.integer({ min: 1, max: 40 }) }),
)
const steps = fc.array(step, { minLength: 1, maxLength: 25 })

describe('a session restored before each step, beside a live actor', () => {
  it.each(Object.keys(patterns))('AU4 %s', (name) => {
    const factory = patterns[name] as Factory
    fc.assert(
      fc.property(steps, (script) => {
        expect(runStored(factory, script)).toEqual(runLive(factory, script))
      }),
      { numRuns: 150 },
    )
  })

  it('TM3 what was delayed for a child that has stopped does not reach its successor of the same id', () => {
    const factory = patterns['a child with timers of its own, told and telling'] as Factory
    const script: Step[] = [{ send: 'B' }, { send: 'D' }, { send: 'A' }, { send: 'A' }, { wait: 30 }]
    const stored = runStored(factory, script)
    expect(stored).toEqual(runLive(factory, script))
    expect(stored.at(-1)?.said).toEqual(['child on', 'idle', 'child on'])
  })

  it.each(Object.keys(patterns))('MG1 migrated to the same before each step: %s', (name) => {
    const factory = patterns[name] as Factory
    fc.assert(
      fc.property(steps, (script) => {
        expect(runStored(factory, script, true)).toEqual(runLive(factory, script))
      }),
      { numRuns: 50 },
    )
  })

  it('MG1 migrated to the same before each step: machines made at random', () => {
    fc.assert(
      fc.property(randomNode(3), steps, (node, script) => {
        const factory = factoryOf(node)
        expect(runStored(factory, script, true)).toEqual(runLive(factory, script))
      }),
      { numRuns: 200 },
    )
  })

  it('AU4 machines made at random', () => {
    let machines = 0
    let events = 0
    fc.assert(
      fc.property(randomNode(3), steps, (node, script) => {
        machines++
        events += script.length
        const factory = factoryOf(node)
        expect(runStored(factory, script)).toEqual(runLive(factory, script))
      }),
      { numRuns: 400 },
    )
    console.log(`compared ${machines} machines made at random over ${events} events and waits`)
  })
})
