/** Many promises at a time: all at once, or so many at once. */
import { assign, enqueueActions, fromPromise, setup } from 'xstate'
import { defineSession } from 'troupe'
import { pause } from './outside.ts'

type PartDone = { type: `xstate.done.actor.part-${number}`; output: number }

const square = fromPromise<number, { n: number }>(async ({ input, signal }) => {
  await pause(50 + 40 * input.n, signal)
  return input.n * input.n
})

/** All at once; the last one that comes in ends it. */
const fanOut = setup({
  types: {} as {
    context: { size: number; results: number[] }
    input: { size: number }
    events: PartDone
  },
  actors: { square },
  actions: {
    startAll: enqueueActions(({ context, enqueue }) => {
      for (let n = 1; n <= context.size; n++) enqueue.spawnChild('square', { id: `part-${n}`, input: { n } })
    }),
  },
}).createMachine({
  context: ({ input }) => ({ size: input.size, results: [] }),
  entry: 'startAll',
  initial: 'gathering',
  output: ({ context }) => context.results.toSorted((a, b) => a - b),
  states: {
    gathering: {
      always: { guard: ({ context }) => context.results.length === context.size, target: 'gathered' },
      on: {
        'xstate.done.actor.*': {
          actions: assign({ results: ({ context, event }) => [...context.results, event.output] }),
        },
      },
    },
    gathered: { type: 'final' },
  },
})

/** A queue of work, of which two pieces are under way at a time. */
const pool = setup({
  types: {} as {
    context: { todo: number[]; running: number; most: number; sum: number }
    input: { todo: number[] }
    events: PartDone
  },
  actors: { square },
  actions: {
    fill: enqueueActions(({ context, enqueue }) => {
      const next = context.todo.slice(0, 2 - context.running)
      for (const n of next) enqueue.spawnChild('square', { id: `part-${n}`, input: { n } })
      const running = context.running + next.length
      enqueue.assign({
        todo: context.todo.slice(next.length),
        running,
        most: Math.max(context.most, running),
      })
    }),
  },
}).createMachine({
  context: ({ input }) => ({ todo: input.todo, running: 0, most: 0, sum: 0 }),
  initial: 'working',
  output: ({ context: { most, sum } }) => ({ most, sum }),
  states: {
    working: {
      entry: 'fill',
      always: { guard: ({ context }) => context.running + context.todo.length === 0, target: 'empty' },
      on: {
        'xstate.done.actor.*': {
          actions: [
            assign({
              running: ({ context }) => context.running - 1,
              sum: ({ context, event }) => context.sum + event.output,
            }),
            'fill',
          ],
        },
      },
    },
    empty: { type: 'final' },
  },
})

export const fanOutSession = defineSession({ name: 'fan-out', version: 1, machine: fanOut })
export const poolSession = defineSession({ name: 'pool', version: 1, machine: pool })
