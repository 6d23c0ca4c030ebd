import { assign, createMachine, emit, enqueueActions, raise, setup } from 'xstate'
import type { AnyStateMachine } from 'xstate'
import { describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { Effect } from '../../actors/plan.ts'
import { Driven } from './driven.ts'

function driven(machine: AnyStateMachine, input?: unknown): Driven {
  return new Driven(defineSession({ name: 'driven', version: 1, machine }), input)
}

interface Count {
  readonly n: number
}

const typed = setup({
  types: {} as {
    context: Count
    input: number | undefined
    events: { type: 'A' | 'B' | 'C' | 'GO' | 'BACK'; by?: number }
    emitted: { type: 'said'; n: number }
  },
  actions: { act: () => undefined },
})
const counting = { context: ({ input }: { input: number | undefined }) => ({ n: input ?? 0 }) }
const count = typed.assign({ n: ({ context }) => context.n + 1 })

function actionsOf(effects: readonly Effect[]): string[] {
  return effects.map(({ action }) => action.type)
}

describe('a step', () => {
  it('input makes the first state; a plan says from where it came', () => {
    const session = driven(
      typed.createMachine({ ...counting, initial: 'x', states: { x: { on: { A: 'y' } }, y: {} } }),
      7,
    )
    expect(session.state).toEqual({
      status: 'active',
      value: 'x',
      context: { n: 7 },
      tags: [],
      accepts: ['A'],
    })
    expect(session.plan.from).toBeNull()
    session.send('A')
    expect(session.state.value).toBe('y')
    expect(session.plan.from).toBe('"x"')
  })

  it('unchanged: nothing takes the event, or a guard refuses it', () => {
    const session = driven(
      typed.createMachine({ ...counting, on: { A: { guard: () => false, actions: count } } }),
    )
    expect(session.send('A')).toBe(false)
    expect(session.send('B')).toBe(false)
  })

  it('an event that only acts or emits is a transition', () => {
    const session = driven(
      typed.createMachine({
        ...counting,
        on: {
          A: { actions: 'act' },
          B: { actions: emit(({ context }) => ({ type: 'said', n: context.n })) },
        },
      }),
      3,
    )
    const before = session.plan.state
    expect(session.send('A')).toBe(true)
    expect([actionsOf(session.plan.effects), session.plan.emitted]).toEqual([['act'], []])
    expect(session.send('B')).toBe(true)
    expect([actionsOf(session.plan.effects), session.plan.emitted]).toEqual([[], ['{"type":"said","n":3}']])
    expect(session.plan.state).toBe(before)
  })

  it('an assignment of an equal value is a transition; the effects of a step are not those of the next', () => {
    const session = driven(
      typed.createMachine({
        ...counting,
        on: { A: { actions: [assign({ n: 0 }), 'act'] }, B: { actions: assign({ n: 0 }) } },
      }),
    )
    expect(session.send('A')).toBe(true)
    expect(session.send('B')).toBe(true)
    expect(session.plan.effects).toEqual([])
  })

  it('actions come in the order of the machine, with what they need, and have not run', () => {
    const ran: unknown[] = []
    const machine = setup({
      types: {} as { context: Count; events: { type: 'A'; by: number } },
      actions: {
        note: ({ context, event }, params: { of: string }) => ran.push([params.of, context.n, event.by]),
      },
    }).createMachine({
      context: { n: 0 },
      initial: 'x',
      states: {
        x: {
          exit: { type: 'note', params: { of: 'exit' } },
          on: {
            A: { target: 'y', actions: [assign({ n: 5 }), { type: 'note', params: { of: 'transition' } }] },
          },
        },
        y: { entry: [assign({ n: 6 }), { type: 'note', params: { of: 'entry' } }] },
      },
    })
    const session = driven(machine)
    session.send('A', { by: 9 })
    expect(ran).toEqual([])
    for (const { action } of session.plan.effects) action.exec?.(action.info, action.params)
    expect(ran).toEqual([
      ['exit', 0, 9],
      ['transition', 5, 9],
      ['entry', 6, 9],
    ])
  })

  it('entry actions and emitted events of the first state are part of the creation', () => {
    const session = driven(
      typed.createMachine({
        ...counting,
        entry: ['act', emit({ type: 'said', n: 1 })],
        initial: 'x',
        states: { x: { entry: 'act' } },
      }),
    )
    expect(actionsOf(session.plan.effects)).toEqual(['act', 'act'])
    expect(session.plan.emitted).toEqual(['{"type":"said","n":1}'])
  })
})

describe('accepts and tags', () => {
  it('accepts: the event types of the configuration, whatever guards say, wildcards as written, nothing internal', () => {
    const session = driven(
      createMachine({
        initial: 'x',
        always: { guard: () => false, target: '.y' },
        on: { A: { actions: () => undefined }, C: {} },
        states: {
          x: {
            on: {
              B: { guard: () => false, target: 'y' },
              A: 'y',
              'GO.*': 'y',
              '*': { actions: () => undefined },
            },
            onDone: 'y',
            initial: 'in',
            states: { in: { on: { BACK: 'out' } }, out: { type: 'final' } },
          },
          y: {},
        },
      }),
    )
    expect([...session.state.accepts].sort()).toEqual(['*', 'A', 'B', 'BACK', 'GO.*'])
    session.send('B')
    session.send('A')
    expect(session.state).toMatchObject({ value: 'y', accepts: ['A'] })
  })

  it('a state that forbids an event of its parent does not accept it', () => {
    const session = driven(
      typed.createMachine({
        ...counting,
        initial: 'x',
        on: { A: { actions: count } },
        states: { x: { on: { A: undefined, B: 'y' } as never }, y: {} },
      }),
    )
    const [accepts, changes] = [session.state.accepts.includes('A'), session.send('A')]
    expect(accepts).toBe(changes)
    session.send('B')
    expect(session.state.accepts).toEqual(['A'])
  })

  it('tags of all active states, each configuration its own', () => {
    const session = driven(
      typed.createMachine({
        ...counting,
        type: 'parallel',
        states: {
          p: {
            initial: 'one',
            states: { one: { tags: 'first', on: { A: 'two' } }, two: { tags: ['second', 'late'] } },
          },
          q: { tags: 'always' },
        },
      }),
    )
    expect([...session.state.tags].sort()).toEqual(['always', 'first'])
    session.send('A')
    expect([...session.state.tags].sort()).toEqual(['always', 'late', 'second'])
    session.restore()
    session.send('B')
    expect([...session.state.tags].sort()).toEqual(['always', 'late', 'second'])
  })

  it('an ended session accepts nothing', () => {
    const session = driven(
      typed.createMachine({
        ...counting,
        initial: 'x',
        output: ({ context }) => ({ sum: context.n }),
        on: { B: { actions: count } },
        states: { x: { on: { A: { target: 'end', actions: count } } }, end: { type: 'final', tags: 'over' } },
      }),
    )
    session.send('A')
    expect(session.state).toEqual({
      status: 'done',
      value: 'end',
      context: { n: 1 },
      tags: ['over'],
      accepts: [],
      output: { sum: 1 },
    })
    expect(session.plan.status).toBe('done')
    expect(() => session.send('B')).toThrow(expect.objectContaining({ code: 'session_ended' }))
    session.restore()
    expect(() => session.send('B')).toThrow(expect.objectContaining({ code: 'session_ended' }))
  })
})

describe('all of a synchronous statechart', () => {
  it('nested and parallel states, each region for itself, done together', () => {
    const region = { initial: 'on', states: { on: { on: { A: 'off' } }, off: { type: 'final' } } } as const
    const session = driven(
      typed.createMachine({
        ...counting,
        initial: 'both',
        states: {
          both: {
            type: 'parallel',
            onDone: 'after',
            states: {
              left: region,
              right: { ...region, states: { on: { on: { B: 'off' } }, off: { type: 'final' } } },
            },
          },
          after: {},
        },
      }),
    )
    session.send('A')
    expect(session.state.value).toEqual({ both: { left: 'off', right: 'on' } })
    session.restore()
    session.send('B')
    expect(session.state.value).toBe('after')
  })

  it.each(['shallow', 'deep'] as const)('%s history survives the record', (history) => {
    const session = driven(
      typed.createMachine({
        ...counting,
        initial: 'work',
        states: {
          work: {
            initial: 'a',
            on: { GO: 'pause' },
            states: {
              a: { on: { A: 'b' } },
              b: { initial: 'b1', states: { b1: { on: { B: 'b2' } }, b2: {} } },
              back: { type: 'history', history },
            },
          },
          pause: { on: { BACK: 'work.back' } },
        },
      }),
    )
    for (const type of ['A', 'B', 'GO']) session.send(type)
    expect(session.state.value).toBe('pause')
    expect(session.plan.internals).toContain('historyValue')
    session.restore()
    session.send('BACK')
    expect(session.state.value).toEqual({ work: { b: history === 'deep' ? 'b2' : 'b1' } })
  })

  it('always and raise are part of the same step', () => {
    const session = driven(
      typed.createMachine({
        ...counting,
        initial: 'x',
        states: {
          x: { on: { A: { target: 'y', actions: [raise({ type: 'B' }), raise({ type: 'C' })] } } },
          y: { on: { B: { actions: count }, C: { target: 'z', actions: count } } },
          z: { always: { guard: ({ context }) => context.n === 2, target: 'end' } },
          end: {},
        },
      }),
    )
    session.send('A')
    expect(session.state).toMatchObject({ value: 'end', context: { n: 2 } })
    expect(session.plan.effects).toEqual([])
  })

  it('enqueueActions: assign, raise, emit and act as it decides', () => {
    const session = driven(
      typed.createMachine({
        ...counting,
        on: {
          A: {
            actions: enqueueActions(({ enqueue, check }) => {
              enqueue.assign({ n: 41 })
              if (check(({ context }) => context.n === 0)) enqueue.raise({ type: 'B' })
              enqueue.emit({ type: 'said', n: 1 })
              enqueue({ type: 'act' })
            }),
          },
          B: { actions: count },
        },
      }),
    )
    session.send('A')
    expect(session.context).toEqual({ n: 42 })
    expect(session.plan.emitted).toEqual(['{"type":"said","n":1}'])
    expect(actionsOf(session.plan.effects)).toEqual(['act'])
  })

  it('re-entry, and output of a compound state’s end', () => {
    const session = driven(
      typed.createMachine({
        ...counting,
        initial: 'x',
        states: {
          x: {
            entry: count,
            initial: 'in',
            on: { A: { target: 'x', reenter: true } },
            onDone: {
              actions: assign({ n: ({ event }) => (event as unknown as { output: number }).output }),
              target: 'y',
            },
            states: { in: { on: { B: 'out' } }, out: { type: 'final', output: 99 } },
          },
          y: {},
        },
      }),
    )
    session.send('A')
    expect(session.context).toEqual({ n: 2 })
    session.send('B')
    expect(session.state).toMatchObject({ value: 'y', context: { n: 99 } })
  })

  it('implementations that were provided are used', () => {
    const machine = typed
      .createMachine({ ...counting, on: { A: { actions: 'act' } } })
      .provide({ actions: { act: assign({ n: 5 }) as never } })
    const session = driven(machine)
    session.send('A')
    expect(session.context).toEqual({ n: 5 })
  })
})
