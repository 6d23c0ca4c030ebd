/** Definitions that the tests of the test kit run. */
import { assign, fromPromise, setup } from 'xstate'
import { defineSession } from '../../actors/define-session.ts'
import type { ActorPolicy } from '../../actors/define-session.ts'
import { sendToSession } from '../../actors/mail.ts'
import { executionOf } from '../../actors/promise-run.ts'
import type { Execution } from '../../actors/promise-run.ts'

type Charge = (execution: Execution, signal: AbortSignal) => unknown

/** `order`: PAY charges, by `charge`; who does not pay within an hour is cancelled, after a reminder at half time. */
export function orderSession(charge: Charge = () => 'receipt', policy: ActorPolicy = {}) {
  const told: string[] = []
  const machine = setup({
    types: {} as {
      context: { reminders: number; receipt: unknown; problem: string | null }
      events: { type: 'PAY' } | { type: 'NOTE' }
    },
    actors: {
      charge: fromPromise(async ({ self, signal }): Promise<unknown> => charge(executionOf(self), signal)),
    },
    actions: { tell: (_, params: { text: string }) => void told.push(params.text) },
  }).createMachine({
    context: { reminders: 0, receipt: null, problem: null },
    initial: 'open',
    states: {
      open: {
        after: {
          1_800_000: { actions: assign({ reminders: ({ context }) => context.reminders + 1 }) },
          3_600_000: 'cancelled',
        },
        on: {
          PAY: 'charging',
          NOTE: { actions: { type: 'tell', params: { text: 'noted' } } },
        },
      },
      charging: {
        invoke: {
          src: 'charge',
          onDone: { target: 'paid', actions: assign({ receipt: ({ event }) => event.output }) },
          onError: {
            target: 'failed',
            actions: assign({ problem: ({ event }) => (event.error as { message: string }).message }),
          },
        },
      },
      paid: { tags: 'settled', entry: { type: 'tell', params: { text: 'paid' } }, type: 'final' },
      failed: {},
      cancelled: { type: 'final' },
    },
  })
  const definition = defineSession({
    name: 'order',
    version: 1,
    machine,
    ttlMs: 86_400_000,
    actors: { charge: policy },
  })
  return { definition, told }
}

/** `ticker`: counts the seconds for ever. */
export const ticker = defineSession({
  name: 'ticker',
  version: 1,
  machine: setup({ types: {} as { context: { ticks: number } } }).createMachine({
    context: { ticks: 0 },
    initial: 'ticking',
    states: {
      ticking: {
        after: {
          1000: {
            target: 'ticking',
            reenter: true,
            actions: assign({ ticks: ({ context }) => context.ticks + 1 }),
          },
        },
      },
    },
  }),
})

/** `shop` tells `stock` of each sale. */
export const shop = defineSession({
  name: 'shop',
  version: 1,
  machine: setup({
    types: {} as { context: { sold: number }; events: { type: 'SELL' } },
    actions: { order: sendToSession('stock', { type: 'TAKE' }) },
  }).createMachine({
    context: { sold: 0 },
    on: { SELL: { actions: [assign({ sold: ({ context }) => context.sold + 1 }), 'order'] } },
  }),
})

export const stock = defineSession({
  name: 'stock',
  version: 1,
  machine: setup({ types: {} as { context: { taken: number }; events: { type: 'TAKE' } } }).createMachine({
    context: { taken: 0 },
    on: { TAKE: { actions: assign({ taken: ({ context }) => context.taken + 1 }) } },
  }),
})
