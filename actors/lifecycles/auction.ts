/**
 * `auction`: bids that rise, until a time.
 *
 * open → closing → sold or unsold. `closing` is the last `extendMs`: each bid in it starts it anew, so that nobody wins by being
 * the last to press a button. A machine reads no clock; that a bid is late is told by the state that it meets.
 */
import { enqueueActions, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../define-session.ts'

const DAY_MS = 24 * 3_600_000

/** In the smallest unit of the currency (cents). */
const amount = z.int().min(1).max(1_000_000_000_000)
const input = z
  .strictObject({
    item: z.string().min(1).max(200),
    /** The least that the first bid must be. */
    startPrice: amount.default(1),
    /** By how much each further bid must be higher. */
    minStep: amount.default(1),
    durationMs: z
      .int()
      .min(1000)
      .max(90 * DAY_MS)
      .default(DAY_MS),
    /** 0: the end is the end. */
    extendMs: z.int().min(0).max(DAY_MS).default(60_000),
  })
  .refine(({ durationMs, extendMs }) => extendMs <= durationMs, {
    path: ['extendMs'],
    message: 'must not be more than durationMs',
  })
const events = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('BID'), bidder: z.string().min(1).max(64), amount }),
])

interface Context {
  readonly item: string
  readonly startPrice: number
  readonly minStep: number
  readonly durationMs: number
  readonly extendMs: number
  /** The highest bid; `null`: none yet. Those before are in the audit. */
  readonly highest: { readonly bidder: string; readonly amount: number } | null
  readonly bids: number
}

const machine = setup({
  types: {} as {
    context: Context
    input: z.infer<typeof input>
    events: z.infer<typeof events>
    emitted: { type: 'outbid'; bidder: string; by: string; amount: number }
  },
  guards: {
    isHigher: ({ context, event }) =>
      event.bidder !== context.highest?.bidder && event.amount >= leastBid(context),
    hasBid: ({ context }) => context.highest !== null,
  },
  actions: {
    accept: enqueueActions(({ context, event, enqueue }) => {
      const { bidder, amount } = event
      if (context.highest !== null)
        enqueue.emit({ type: 'outbid', bidder: context.highest.bidder, by: bidder, amount })
      enqueue.assign({ highest: { bidder, amount }, bids: context.bids + 1 })
    }),
  },
  delays: {
    untilClosing: ({ context }) => context.durationMs - context.extendMs,
    extension: ({ context }) => context.extendMs,
  },
}).createMachine({
  id: 'auction',
  context: ({ input }) => ({ ...input, highest: null, bids: 0 }),
  initial: 'open',
  output: ({ context: { highest } }) => ({
    winner: highest?.bidder ?? null,
    amount: highest?.amount ?? null,
  }),
  states: {
    open: {
      after: { untilClosing: 'closing' },
      on: { BID: { guard: 'isHigher', actions: 'accept' } },
    },
    closing: {
      tags: 'closing',
      after: { extension: [{ guard: 'hasBid', target: 'sold' }, { target: 'unsold' }] },
      // Entering the state anew starts its time anew.
      on: { BID: { guard: 'isHigher', target: 'closing', reenter: true, actions: 'accept' } },
    },
    sold: { type: 'final' },
    unsold: { type: 'final' },
  },
})

function leastBid({ highest, startPrice, minStep }: Context): number {
  return highest === null ? startPrice : highest.amount + minStep
}

export const auctionSession = defineSession({ name: 'auction', version: 1, machine, events, input })
