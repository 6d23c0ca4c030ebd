/** Things that are paid for: a saga with compensation, regions joined, renewals, holds, coins, bids. */
import { assign, cancel, enqueueActions, fromPromise, raise, setup } from 'xstate'
import { defineSession } from 'troupe'
import { pause } from './outside.ts'

interface Step {
  readonly step: string
  readonly fails: boolean
}

/** A call to some service, which answers after a while. */
const call = fromPromise<string, Step>(async ({ input, signal }) => {
  await pause(80, signal)
  if (input.fails) throw new Error(`${input.step} failed`)
  return input.step
})

/** Reserve, charge, ship; if a step fails, those before it are undone in reverse. */
const saga = setup({
  types: {} as {
    context: { failAt: string | null; done: string[]; undone: string[]; reason: string | null }
    input: { failAt: string | null }
  },
  actors: { call },
  actions: {
    done: assign({ done: ({ context }, step: string) => [...context.done, step] }),
    undone: assign({ undone: ({ context }, step: string) => [...context.undone, step] }),
    because: assign({ reason: (_, { error }: { error: unknown }) => (error as Error).message }),
  },
}).createMachine({
  context: ({ input }) => ({ failAt: input.failAt, done: [], undone: [], reason: null }),
  initial: 'reserving',
  output: ({ context: { done, undone, reason } }) => ({ done, undone, reason }),
  states: {
    reserving: {
      invoke: {
        src: 'call',
        id: 'reserve',
        input: ({ context }) => ({ step: 'reserve', fails: context.failAt === 'reserve' }),
        onDone: { target: 'charging', actions: { type: 'done', params: ({ event }) => event.output } },
        onError: { target: 'failed', actions: { type: 'because', params: ({ event }) => event } },
      },
    },
    charging: {
      invoke: {
        src: 'call',
        id: 'charge',
        input: ({ context }) => ({ step: 'charge', fails: context.failAt === 'charge' }),
        onDone: { target: 'shipping', actions: { type: 'done', params: ({ event }) => event.output } },
        onError: { target: 'releasing', actions: { type: 'because', params: ({ event }) => event } },
      },
    },
    shipping: {
      invoke: {
        src: 'call',
        id: 'ship',
        input: ({ context }) => ({ step: 'ship', fails: context.failAt === 'ship' }),
        onDone: { target: 'shipped', actions: { type: 'done', params: ({ event }) => event.output } },
        onError: { target: 'refunding', actions: { type: 'because', params: ({ event }) => event } },
      },
    },
    refunding: {
      invoke: {
        src: 'call',
        id: 'refund',
        input: { step: 'refund', fails: false },
        onDone: { target: 'releasing', actions: { type: 'undone', params: ({ event }) => event.output } },
      },
    },
    releasing: {
      invoke: {
        src: 'call',
        id: 'release',
        input: { step: 'release', fails: false },
        onDone: { target: 'failed', actions: { type: 'undone', params: ({ event }) => event.output } },
      },
    },
    failed: { type: 'final' },
    shipped: { type: 'final' },
  },
})

/** Payment and stock at the same time; both must be there before the order is confirmed. */
const twoPhase = setup({
  types: {} as { context: { paid: number; packed: number }; events: { type: 'CONFIRM' } },
  actors: { call },
}).createMachine({
  context: { paid: 0, packed: 0 },
  initial: 'preparing',
  output: ({ context }) => context,
  states: {
    preparing: {
      type: 'parallel',
      onDone: 'prepared',
      states: {
        payment: {
          initial: 'paying',
          states: {
            paying: {
              invoke: {
                src: 'call',
                id: 'pay',
                input: { step: 'pay', fails: false },
                onDone: { target: 'paid', actions: assign({ paid: ({ context }) => context.paid + 1 }) },
              },
            },
            paid: { type: 'final' },
          },
        },
        stock: {
          initial: 'picking',
          states: {
            picking: { after: { 120: 'packing' } },
            packing: {
              invoke: {
                src: 'call',
                id: 'pack',
                input: { step: 'pack', fails: false },
                onDone: {
                  target: 'packed',
                  actions: assign({ packed: ({ context }) => context.packed + 1 }),
                },
              },
            },
            packed: { type: 'final' },
          },
        },
      },
    },
    prepared: { on: { CONFIRM: 'confirmed' } },
    confirmed: { type: 'final' },
  },
})

/** Renewed period after period, until the card is refused; then asked for twice more, then over. */
const subscription = setup({
  types: {} as {
    context: { validFor: number; periods: number; dunned: number; log: string[] }
    input: { validFor: number }
  },
  actors: { call },
  guards: { isPatient: ({ context }) => context.dunned < 2 },
  actions: { note: assign({ log: ({ context }, entry: string) => [...context.log, entry] }) },
}).createMachine({
  context: ({ input }) => ({ validFor: input.validFor, periods: 0, dunned: 0, log: [] }),
  initial: 'billing',
  output: ({ context: { periods, dunned, log } }) => ({ periods, dunned, log }),
  states: {
    billing: {
      invoke: {
        src: 'call',
        id: 'bill',
        input: ({ context }) => ({ step: 'bill', fails: context.periods >= context.validFor }),
        onDone: {
          target: 'active',
          actions: [
            assign({ periods: ({ context }) => context.periods + 1 }),
            { type: 'note', params: ({ context }) => `period ${context.periods}` },
          ],
        },
        onError: [
          {
            guard: 'isPatient',
            target: 'pastDue',
            actions: [
              assign({ dunned: ({ context }) => context.dunned + 1 }),
              { type: 'note', params: ({ context }) => `dunning ${context.dunned}` },
            ],
          },
          { target: 'ended', actions: { type: 'note', params: 'ended' } },
        ],
      },
    },
    active: { after: { 100: 'billing' } },
    pastDue: { after: { 60: 'billing' } },
    ended: { type: 'final' },
  },
})

/** A table is held for a while; who confirms it is reminded later, unless he comes before. */
const booking = setup({
  types: {} as {
    context: { holdMs: number; reminded: number }
    input: { holdMs: number }
    events: { type: 'CONFIRM' } | { type: 'REMIND' } | { type: 'NO_SHOW' } | { type: 'ARRIVE' }
  },
  delays: { hold: ({ context }) => context.holdMs },
}).createMachine({
  context: ({ input }) => ({ holdMs: input.holdMs, reminded: 0 }),
  initial: 'held',
  output: ({ context, event }) => ({ reminded: context.reminded, end: event.output as unknown }),
  states: {
    held: { on: { CONFIRM: 'confirmed' }, after: { hold: 'released' } },
    confirmed: {
      entry: [
        raise({ type: 'REMIND' }, { id: 'reminder', delay: 250 }),
        raise({ type: 'NO_SHOW' }, { id: 'noShow', delay: 3_600_000 }),
      ],
      exit: cancel('noShow'),
      initial: 'waiting',
      on: { NO_SHOW: 'released' },
      states: {
        waiting: {
          on: {
            REMIND: {
              target: 'reminded',
              actions: assign({ reminded: ({ context }) => context.reminded + 1 }),
            },
          },
        },
        reminded: { on: { ARRIVE: '#arrived' } },
      },
    },
    arrived: { id: 'arrived', type: 'final', output: 'arrived' },
    released: { type: 'final', output: 'released' },
  },
})

/** Coins in, goods and change out. */
const vending = setup({
  types: {} as {
    context: { price: number; credit: number; change: number; sold: number }
    input: { price: number }
    events: { type: 'COIN'; value: number } | { type: 'CHOOSE' } | { type: 'LEAVE' }
  },
  guards: {
    isPaid: ({ context }) => context.credit >= context.price,
    isCoin: ({ event }) => event.type === 'COIN' && [5, 10, 20, 50].includes(event.value),
  },
}).createMachine({
  context: ({ input }) => ({ price: input.price, credit: 0, change: 0, sold: 0 }),
  initial: 'collecting',
  output: ({ context: { change, sold } }) => ({ change, sold }),
  on: {
    COIN: {
      guard: 'isCoin',
      actions: assign({ credit: ({ context, event }) => context.credit + event.value }),
    },
  },
  states: {
    collecting: { always: { guard: 'isPaid', target: 'ready' } },
    ready: { on: { CHOOSE: 'dropping' } },
    dropping: {
      entry: assign({
        credit: ({ context }) => context.credit - context.price,
        sold: ({ context }) => context.sold + 1,
      }),
      after: { 150: 'next' },
    },
    next: { always: { guard: 'isPaid', target: 'ready' }, on: { LEAVE: 'returning' } },
    returning: {
      entry: assign({ change: ({ context }) => context.credit, credit: 0 }),
      always: 'left',
    },
    left: { type: 'final' },
  },
})

/** Bids that rise until nobody bids for a while. */
const bids = setup({
  types: {} as {
    context: { best: number; bids: number; extensions: number }
    events: { type: 'BID'; amount: number }
  },
  guards: { isHigher: ({ context, event }) => event.amount > context.best },
  actions: {
    accept: enqueueActions(({ enqueue, context, event }) => {
      enqueue.assign({ best: event.amount, bids: context.bids + 1 })
    }),
  },
}).createMachine({
  context: { best: 0, bids: 0, extensions: 0 },
  initial: 'open',
  output: ({ context: { best, bids } }) => ({ best, bids }),
  states: {
    open: {
      after: { 400: 'closing' },
      on: { BID: { guard: 'isHigher', actions: 'accept' } },
    },
    closing: {
      after: { 400: 'sold' },
      on: {
        BID: {
          guard: 'isHigher',
          target: 'closing',
          reenter: true,
          actions: ['accept', assign({ extensions: ({ context }) => context.extensions + 1 })],
        },
      },
    },
    sold: { type: 'final' },
  },
})

export const sagaSession = defineSession({ name: 'saga', version: 1, machine: saga })
export const twoPhaseSession = defineSession({ name: 'two-phase', version: 1, machine: twoPhase })
export const subscriptionSession = defineSession({ name: 'subscription', version: 1, machine: subscription })
export const bookingSession = defineSession({ name: 'booking', version: 1, machine: booking })
export const vendingSession = defineSession({ name: 'vending', version: 1, machine: vending })
export const bidsSession = defineSession({ name: 'bids', version: 1, machine: bids })
