import { assign, fromPromise, setup } from 'xstate'
import { defineSession, executionOf } from 'troupe'

/** What the payment service does for us; a test gives its own. */
export type Charge = (effectKey: string) => Promise<string>

export function orderSession(charge: Charge) {
  const machine = setup({
    types: {} as {
      context: { receipt: string | null }
      events: { type: 'PAY' }
    },
    actors: { charge: fromPromise<string>(({ self }) => charge(executionOf(self).effectKey)) },
  }).createMachine({
    context: { receipt: null },
    initial: 'open',
    states: {
      open: { on: { PAY: 'charging' }, after: { 3_600_000: 'cancelled' } },
      charging: {
        invoke: {
          src: 'charge',
          onDone: { target: 'paid', actions: assign({ receipt: ({ event }) => event.output }) },
          onError: 'open',
        },
      },
      paid: { tags: 'settled' },
      cancelled: { type: 'final' },
    },
  })
  return defineSession({ name: 'order', version: 1, machine, ttlMs: 86_400_000 })
}
