/** Workflows made of workflows: reused, nested, spawned as they are needed, started anew when they break. */
import { assign, enqueueActions, fromPromise, sendParent, setup } from 'xstate'
import { defineSession } from 'troupe'
import { pause } from './outside.ts'

/** A small workflow that others use: waits, works, and gives back what it made. */
const bake = setup({
  types: {} as {
    context: { what: string; ms: number; steps: number }
    input: { what: string; ms: number }
    output: string
  },
  actors: { heat: fromPromise<void, { ms: number }>(({ input, signal }) => pause(input.ms, signal)) },
  delays: { rest: ({ context }) => context.ms },
}).createMachine({
  context: ({ input }) => ({ ...input, steps: 0 }),
  initial: 'resting',
  output: ({ context: { what, steps } }) => `${what} in ${steps} steps`,
  states: {
    resting: { after: { rest: 'heating' }, exit: assign({ steps: ({ context }) => context.steps + 1 }) },
    heating: {
      invoke: { src: 'heat', id: 'heat', input: ({ context }) => ({ ms: context.ms }), onDone: 'done' },
      exit: assign({ steps: ({ context }) => context.steps + 1 }),
    },
    done: { type: 'final' },
  },
})

/** The same child one after the other, and twice at a time. */
const menu = setup({
  types: {} as { context: { served: string[] } },
  actors: { bake },
  actions: { serve: assign({ served: ({ context }, dish: string) => [...context.served, dish] }) },
}).createMachine({
  context: { served: [] },
  initial: 'starter',
  output: ({ context }) => [...context.served.slice(0, 1), ...context.served.slice(1).toSorted()],
  states: {
    starter: {
      invoke: {
        src: 'bake',
        id: 'bake',
        input: { what: 'bread', ms: 60 },
        onDone: { target: 'main', actions: { type: 'serve', params: ({ event }) => event.output } },
      },
    },
    main: {
      invoke: [
        {
          src: 'bake',
          id: 'left',
          input: { what: 'pie', ms: 90 },
          onDone: { actions: { type: 'serve', params: ({ event }) => event.output } },
        },
        {
          src: 'bake',
          id: 'right',
          input: { what: 'tart', ms: 120 },
          onDone: { actions: { type: 'serve', params: ({ event }) => event.output } },
        },
      ],
      always: { guard: ({ context }) => context.served.length === 3, target: 'eaten' },
    },
    eaten: { type: 'final' },
  },
})

const cell = setup({
  types: {} as { context: { seed: number }; input: { seed: number }; output: number },
  actors: {
    grow: fromPromise<number, { seed: number }>(async ({ input, signal }) => {
      await pause(100, signal)
      return input.seed * 2
    }),
  },
}).createMachine({
  context: ({ input }) => input,
  initial: 'waiting',
  output: ({ context }) => context.seed,
  states: {
    waiting: { after: { 100: 'growing' } },
    growing: {
      invoke: {
        src: 'grow',
        id: 'grow',
        input: ({ context }) => context,
        onDone: { target: 'grown', actions: assign({ seed: ({ event }) => event.output }) },
      },
    },
    grown: { type: 'final' },
  },
})
const organ = setup({
  types: {} as { context: { size: number }; input: { seed: number }; output: number },
  actors: { cell },
}).createMachine({
  context: ({ input }) => ({ size: input.seed }),
  initial: 'forming',
  output: ({ context }) => context.size,
  states: {
    forming: {
      invoke: {
        src: 'cell',
        id: 'cell',
        input: ({ context }) => ({ seed: context.size + 1 }),
        onDone: { target: 'formed', actions: assign({ size: ({ event }) => event.output }) },
      },
    },
    formed: { after: { 100: 'working' } },
    working: { type: 'final' },
  },
})
/** A child whose child has a child. */
const body = setup({
  types: {} as { context: { size: number }; input: { seed: number } },
  actors: { organ },
}).createMachine({
  context: ({ input }) => ({ size: input.seed }),
  initial: 'growing',
  output: ({ context }) => context.size,
  states: {
    growing: {
      invoke: {
        src: 'organ',
        id: 'organ',
        input: ({ context }) => ({ seed: context.size }),
        onDone: { target: 'grown', actions: assign({ size: ({ event }) => event.output }) },
      },
    },
    grown: { type: 'final' },
  },
})

/** As many children as there are parcels, made as they come in; each says when it is there, and is counted once. */
const parcel = setup({
  types: {} as { context: { to: string; hops: number }; input: { to: string; hops: number } },
  guards: { isThere: ({ context }) => context.hops === 0 },
}).createMachine({
  context: ({ input }) => input,
  initial: 'waiting',
  states: {
    waiting: { always: { guard: 'isThere', target: 'there' }, after: { 90: 'moving' } },
    moving: { entry: assign({ hops: ({ context }) => context.hops - 1 }), always: 'waiting' },
    there: {
      type: 'final',
      entry: sendParent(({ context }) => ({ type: 'ARRIVED', to: context.to })),
    },
  },
})
const depot = setup({
  types: {} as {
    context: { sent: string[]; arrived: string[] }
    events: { type: 'SEND'; to: string; hops: number } | { type: 'ARRIVED'; to: string } | { type: 'CLOSE' }
  },
  actors: { parcel },
  actions: {
    dispatch: enqueueActions(({ context, event, enqueue, check }) => {
      if (event.type !== 'SEND' || !check(() => !context.sent.includes(event.to))) return
      enqueue.spawnChild('parcel', { id: `parcel-${event.to}`, input: { to: event.to, hops: event.hops } })
      enqueue.assign({ sent: [...context.sent, event.to] })
    }),
  },
  guards: { isEmpty: ({ context }) => context.sent.length === context.arrived.length },
}).createMachine({
  context: { sent: [], arrived: [] },
  initial: 'open',
  output: ({ context: { sent, arrived } }) => ({ sent, arrived: arrived.toSorted() }),
  on: {
    ARRIVED: { actions: assign({ arrived: ({ context, event }) => [...context.arrived, event.to] }) },
  },
  states: {
    open: { on: { SEND: { actions: 'dispatch' }, CLOSE: 'closing' } },
    closing: { always: { guard: 'isEmpty', target: 'closed' } },
    closed: { type: 'final' },
  },
})

const worker = setup({
  types: {} as {
    context: { run: number; flaws: number }
    input: { run: number; flaws: number }
    output: string
  },
}).createMachine({
  context: ({ input }) => input,
  initial: 'working',
  output: ({ context }) => `done in run ${context.run}`,
  states: {
    working: { after: { 100: 'handing' } },
    handing: {
      always: [
        {
          guard: ({ context }) => {
            if (context.run <= context.flaws) throw new Error(`flaw ${context.run}`)
            return true
          },
          target: 'handed',
        },
      ],
    },
    handed: { type: 'final' },
  },
})
/** Starts its child anew when that breaks, with a pause; not for ever. */
const supervisor = setup({
  types: {} as {
    context: { flaws: number; run: number; errors: number; result: string | null }
    input: { flaws: number }
  },
  actors: { worker },
}).createMachine({
  context: ({ input }) => ({ flaws: input.flaws, run: 0, errors: 0, result: null }),
  initial: 'running',
  output: ({ context: { errors, result } }) => ({ errors, result }),
  states: {
    running: {
      entry: assign({ run: ({ context }) => context.run + 1 }),
      invoke: {
        src: 'worker',
        id: 'worker',
        input: ({ context: { run, flaws } }) => ({ run, flaws }),
        onDone: { target: 'over', actions: assign({ result: ({ event }) => event.output }) },
        onError: [
          {
            guard: ({ context }) => context.errors < 2,
            target: 'pausing',
            actions: assign({ errors: ({ context }) => context.errors + 1 }),
          },
          { target: 'over' },
        ],
      },
    },
    pausing: { after: { 80: 'running' } },
    over: { type: 'final' },
  },
})

export const menuSession = defineSession({ name: 'menu', version: 1, machine: menu })
export const bodySession = defineSession({ name: 'body', version: 1, machine: body })
export const depotSession = defineSession({ name: 'depot', version: 1, machine: depot })
export const supervisorSession = defineSession({ name: 'supervisor', version: 1, machine: supervisor })
