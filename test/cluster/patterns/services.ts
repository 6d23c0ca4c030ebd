/** Services that fail, and effects that must happen once. */
import { assign, fromPromise, setup } from 'xstate'
import { defineSession, executionOf } from 'troupe'
import { doOnce, noteCall, pause } from './outside.ts'

/** A service that refuses the first calls: tried again as the policy says, without the machine knowing. */
const limited = setup({
  types: {} as {
    context: { folder: string; refusals: number; result: string | null }
    input: { folder: string; refusals: number }
  },
  actors: {
    fetch: fromPromise<string, { folder: string; refusals: number }>(async ({ input, self, signal }) => {
      await pause(40, signal)
      const calls = await noteCall(
        input.folder,
        `${executionOf(self).session}.${executionOf(self).effectKey}`,
      )
      if (calls <= input.refusals) throw new Error('429')
      return 'fetched'
    }),
  },
}).createMachine({
  context: ({ input }) => ({ ...input, result: null }),
  initial: 'fetching',
  output: ({ context }) => context.result,
  states: {
    fetching: {
      invoke: {
        src: 'fetch',
        id: 'fetch',
        input: ({ context }) => context,
        onDone: { target: 'over', actions: assign({ result: ({ event }) => event.output }) },
        onError: {
          target: 'over',
          actions: assign({ result: ({ event }) => (event.error as Error).message }),
        },
      },
    },
    over: { type: 'final' },
  },
})

/** Three receipts, each sent once although its sender may be run again. */
const receipts = setup({
  types: {} as { context: { folder: string; sent: number }; input: { folder: string } },
  actors: {
    send: fromPromise<void, { folder: string; n: number }>(async ({ input, self, signal }) => {
      const { effectKey, session } = executionOf(self)
      doOnce(input.folder, `${session}.${effectKey}`, `receipt ${input.n}`)
      await pause(100, signal)
    }),
  },
}).createMachine({
  context: ({ input }) => ({ folder: input.folder, sent: 0 }),
  initial: 'sending',
  output: ({ context }) => context.sent,
  states: {
    sending: {
      invoke: {
        src: 'send',
        id: 'send',
        input: ({ context }) => ({ folder: context.folder, n: context.sent + 1 }),
        onDone: { target: 'sent', actions: assign({ sent: ({ context }) => context.sent + 1 }) },
      },
    },
    sent: {
      always: { guard: ({ context }) => context.sent === 3, target: 'finished' },
      after: { 80: 'sending' },
    },
    finished: { type: 'final' },
  },
})

/** Work that is not to be run again blindly: after a crash the machine itself looks first whether it was done. */
const transfer = setup({
  types: {} as {
    context: { folder: string; id: string; executions: number; booked: boolean | null }
    input: { folder: string; id: string }
  },
  actors: {
    book: fromPromise<boolean, { folder: string; id: string }>(async ({ input, signal }) => {
      await pause(150, signal)
      return doOnce(input.folder, `${input.id}.transfer`, 'booked') === 'booked'
    }),
    look: fromPromise<boolean, { folder: string; id: string }>(async ({ input, signal }) => {
      await pause(20, signal)
      // Taken by whoever looks: a transfer that had not been booked never will be. Who looks again after a crash finds the same.
      return doOnce(input.folder, `${input.id}.transfer`, 'void') === 'booked'
    }),
  },
}).createMachine({
  context: ({ input }) => ({ ...input, executions: 0, booked: null }),
  initial: 'booking',
  output: ({ context: { executions, booked } }) => ({ executions, booked }),
  states: {
    booking: {
      entry: assign({ executions: ({ context }) => context.executions + 1 }),
      invoke: {
        src: 'book',
        id: 'book',
        input: ({ context }) => context,
        onDone: { target: 'settled', actions: assign({ booked: true }) },
        onError: [
          { guard: ({ event }) => (event.error as Error).name === 'CrashError', target: 'looking' },
          { target: 'broken' },
        ],
      },
    },
    looking: {
      invoke: {
        src: 'look',
        id: 'look',
        input: ({ context }) => context,
        onDone: { target: 'settled', actions: assign({ booked: ({ event }) => event.output }) },
      },
    },
    settled: { type: 'final' },
    broken: { type: 'final' },
  },
})

/** Closed, open after failures, half open after a pause. */
const breaker = setup({
  types: {} as {
    context: { outage: number; calls: number; inARow: number; opened: number }
    input: { outage: number }
  },
  actors: {
    ping: fromPromise<string, { call: number; outage: number }>(async ({ input, signal }) => {
      await pause(30, signal)
      if (input.call <= input.outage) throw new Error('down')
      return 'pong'
    }),
  },
  guards: { isTooMany: ({ context }) => context.inARow >= 1 },
  actions: {
    count: assign({ calls: ({ context }) => context.calls + 1 }),
    failed: assign({ inARow: ({ context }) => context.inARow + 1 }),
    trip: assign({ opened: ({ context }) => context.opened + 1, inARow: 0 }),
  },
}).createMachine({
  context: ({ input }) => ({ outage: input.outage, calls: 0, inARow: 0, opened: 0 }),
  initial: 'closed',
  output: ({ context: { calls, opened } }) => ({ calls, opened }),
  states: {
    closed: {
      initial: 'calling',
      states: {
        calling: {
          entry: 'count',
          invoke: {
            src: 'ping',
            id: 'ping',
            input: ({ context }) => ({ call: context.calls, outage: context.outage }),
            onDone: '#well',
            onError: [
              { guard: 'isTooMany', target: '#open', actions: 'trip' },
              { target: 'calling', reenter: true, actions: 'failed' },
            ],
          },
        },
      },
    },
    open: { id: 'open', after: { 150: 'halfOpen' } },
    halfOpen: {
      entry: 'count',
      invoke: {
        src: 'ping',
        id: 'ping',
        input: ({ context }) => ({ call: context.calls, outage: context.outage }),
        onDone: '#well',
        onError: { target: 'open', actions: 'trip' },
      },
    },
    well: { id: 'well', type: 'final' },
  },
})

export const limitedSession = defineSession({
  name: 'limited',
  version: 1,
  machine: limited,
  actors: { fetch: { attempts: 4, backoffMs: 30 } },
})
export const receiptsSession = defineSession({ name: 'receipts', version: 1, machine: receipts })
export const transferSession = defineSession({
  name: 'transfer',
  version: 1,
  machine: transfer,
  actors: { book: { onCrash: 'fail' } },
})
export const breakerSession = defineSession({ name: 'breaker', version: 1, machine: breaker })
