/** Definitions whose sessions the tests of replays run. */
import { assign, fromPromise, sendParent, setup } from 'xstate'
import { defineSession } from '../../../actors/define-session.ts'
import { sendToSession } from '../../../actors/mail.ts'

const beat = setup({ types: {} as { context: { beats: number } } }).createMachine({
  context: { beats: 0 },
  initial: 'beating',
  states: {
    beating: {
      always: { guard: ({ context }) => context.beats === 5, target: 'resting' },
      after: {
        20: {
          target: 'beating',
          reenter: true,
          actions: [
            assign({ beats: ({ context }) => context.beats + 1 }),
            sendParent(({ context }) => ({ type: 'BEAT', beats: context.beats })),
          ],
        },
      },
    },
    resting: {},
  },
})

/** What ran outside of the kernel. */
export const outside = { promises: 0, actions: 0 }

/** `errand`: a promise, a child with timers of its own, timers that send the same event, mail, history, parallel states. */
export const errand = defineSession({
  name: 'errand',
  version: 1,
  actors: { fetch: { attempts: 1 } },
  machine: setup({
    types: {} as {
      context: { beats: number; got: unknown; problem: string | null; notes: string[] }
      events:
        | { type: 'BEAT'; beats: number }
        | { type: 'GO'; url: string }
        | { type: 'NOTE'; text: string }
        | { type: 'PAUSE' }
        | { type: 'RESUME' }
        | { type: 'STOP' }
        | { type: 'TELL'; to: string; text: string }
    },
    actors: {
      beat,
      fetch: fromPromise(async ({ input }: { input: { url: string } }) => {
        outside.promises++
        if (input.url === 'bad') throw new TypeError('there is no such page')
        return { page: input.url, size: 3 }
      }),
    },
    actions: {
      act: () => void outside.actions++,
      tell: sendToSession(
        ({ event }) => (event as unknown as { to: string }).to,
        ({ event }) => ({ type: 'NOTE', text: (event as unknown as { text: string }).text }),
      ),
    },
  }).createMachine({
    context: { beats: 0, got: null, problem: null, notes: [] },
    type: 'parallel',
    on: {
      NOTE: {
        actions: ['act', assign({ notes: ({ context, event }) => [...context.notes, event.text] })],
      },
      TELL: { actions: 'tell' },
    },
    states: {
      heart: {
        invoke: { src: 'beat', id: 'beat' },
        on: {
          BEAT: {
            guard: ({ event }) => event.beats <= 3,
            actions: assign({ beats: ({ event }) => event.beats }),
          },
        },
      },
      work: {
        initial: 'idle',
        on: { STOP: '.stopped' },
        states: {
          idle: { on: { GO: 'fetching', PAUSE: 'paused' } },
          fetching: {
            invoke: {
              src: 'fetch',
              input: ({ event }) => ({ url: (event as { url: string }).url }),
              onDone: { target: 'got', actions: assign({ got: ({ event }) => event.output }) },
              onError: {
                target: 'idle',
                actions: assign({ problem: ({ event }) => (event.error as Error).message }),
              },
            },
          },
          got: { tags: 'settled', on: { PAUSE: 'paused', GO: 'fetching' } },
          paused: { on: { RESUME: 'back' } },
          back: { type: 'history', history: 'shallow' } as never,
          stopped: { type: 'final' },
        },
      },
    },
  }),
})

/** `clocked`: all that a machine should not do. */
export const clocked = defineSession({
  name: 'clocked',
  version: 1,
  machine: setup({
    types: {} as {
      context: { n: number; at: unknown }
      events: { type: 'ADD' | 'STAMP' | 'ROLL' | 'UUID' | 'PEEK' | 'YEAR' | 'WRITE' | 'PARTS' }
    },
  }).createMachine({
    context: { n: 0, at: null },
    initial: 'on',
    states: {
      on: {
        on: {
          ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) },
          STAMP: { actions: assign({ at: () => new Date().toISOString() }) },
          ROLL: [{ guard: () => Math.random() < 0.5, target: 'off' }, { target: 'lucky' }],
          UUID: { actions: assign({ at: () => globalThis.crypto.randomUUID() }) },
          // It is asked, and nothing comes of it.
          PEEK: { guard: () => Date.now() > 0, actions: assign({ n: ({ context }) => context.n + 1 }) },
          WRITE: { actions: assign({ at: () => new Intl.DateTimeFormat('en').format() }) },
          PARTS: { actions: assign({ at: () => new Intl.DateTimeFormat('en').formatToParts()[0]?.value }) },
          YEAR: {
            actions: assign({ at: () => new Date().getFullYear() > 2020 && new Date().getFullYear() < 2090 }),
          },
        },
      },
      off: {},
      lucky: {},
    },
  }),
})

/** `fragile`: a timer that its machine throws at. */
export const fragile = defineSession({
  name: 'fragile',
  version: 1,
  machine: setup({ types: {} as { context: { n: number }; events: { type: 'ADD' } } }).createMachine({
    context: { n: 0 },
    initial: 'on',
    states: {
      on: {
        on: { ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
        after: {
          30: {
            actions: assign(() => {
              throw new Error('it broke')
            }),
          },
        },
      },
    },
  }),
})

const steps = { events: {} as { type: 'NEXT' | 'BACK' } }

/** `order` in three versions: 2 has another context and a new state on the way, 3 loses its way. */
const orderMachine = (paid: 'paid' | 'packing', total: number | null) =>
  setup({ types: { ...steps, context: {} as { steps: number; total?: number } } }).createMachine({
    context: total === null ? { steps: 0 } : { steps: 0, total },
    initial: 'cart',
    states: {
      cart: {
        on: { NEXT: { target: 'checkout', actions: assign({ steps: ({ context }) => context.steps + 1 }) } },
      },
      checkout: {
        after: { 60_000: 'cart' },
        on: {
          NEXT: { target: paid, actions: assign({ steps: ({ context }) => context.steps + 1 }) },
          BACK: 'cart',
        },
      },
      packing: { on: { NEXT: 'paid' } },
      paid: { on: { BACK: 'checkout' } },
    },
  })

export const order1 = defineSession({ name: 'order', version: 1, machine: orderMachine('paid', null) })
export const order2 = defineSession({
  name: 'order',
  version: 2,
  machine: orderMachine('paid', 0),
  migrate: ({ value, context }) => ({ value, context: { steps: Number(context['steps']), total: 0 } }),
})
export const order3 = defineSession({
  name: 'order',
  version: 3,
  machine: orderMachine('packing', 0),
  migrate: ({ value, context }) => {
    if (value === 'checkout') throw new Error('nobody knows where checkout went')
    return { value, context: { steps: Number(context['steps']), total: 0 } }
  },
})
