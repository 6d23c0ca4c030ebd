/**
 * `checkout`: a cart that becomes a payment that becomes an order.
 *
 * shopping → paying → ordered; a payment that is declined or not answered in time leads back to the cart, `CANCEL` ends it
 * anywhere before the order, and a cart that nobody changes is abandoned. Prices are in the smallest unit of the currency
 * (cents). The payment itself happens outside: whoever takes it sends `PAID` or `DECLINED`.
 */
import { assign, emit, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../define-session.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

const sku = z.string().min(1).max(100)
const input = z.strictObject({
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as EUR')
    .default('EUR'),
  /** How long a payment may take. */
  paymentTimeoutMs: z
    .int()
    .min(1000)
    .max(DAY_MS)
    .default(15 * MINUTE_MS),
  /** How long a cart may stay as it is. */
  idleTimeoutMs: z
    .int()
    .min(1000)
    .max(30 * DAY_MS)
    .default(30 * MINUTE_MS),
})
const events = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('ADD'),
    sku,
    quantity: z.int().min(1).max(999).default(1),
    unitPrice: z.int().min(0).max(100_000_000),
  }),
  z.strictObject({ type: z.literal('REMOVE'), sku }),
  z.strictObject({ type: z.literal('PAY') }),
  z.strictObject({ type: z.literal('PAID'), reference: z.string().min(1).max(200) }),
  z.strictObject({ type: z.literal('DECLINED'), reason: z.string().max(500) }),
  z.strictObject({ type: z.literal('CANCEL') }),
])

interface Item {
  readonly sku: string
  readonly quantity: number
  readonly unitPrice: number
}

interface Context {
  readonly currency: string
  readonly paymentTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly items: readonly Item[]
  readonly total: number
  readonly paymentReference: string | null
  readonly lastDecline: string | null
}

const machine = setup({
  types: {} as {
    context: Context
    input: z.infer<typeof input>
    events: z.infer<typeof events>
    emitted: { type: 'ordered'; total: number; reference: string }
  },
  guards: { hasItems: ({ context }) => context.items.length > 0 },
  delays: {
    paymentTimeout: ({ context }) => context.paymentTimeoutMs,
    idleTimeout: ({ context }) => context.idleTimeoutMs,
  },
}).createMachine({
  id: 'checkout',
  context: ({ input }) => ({
    ...input,
    items: [],
    total: 0,
    paymentReference: null,
    lastDecline: null,
  }),
  initial: 'shopping',
  output: ({ context }) => ({ total: context.total, reference: context.paymentReference }),
  states: {
    shopping: {
      tags: 'open',
      after: { idleTimeout: 'abandoned' },
      on: {
        // Entering the state anew starts its time anew.
        ADD: {
          target: 'shopping',
          reenter: true,
          actions: assign(({ context, event }) => cartOf(added(context.items, event))),
        },
        REMOVE: {
          target: 'shopping',
          reenter: true,
          guard: ({ context, event }) => context.items.some((item) => item.sku === event.sku),
          actions: assign(({ context, event }) =>
            cartOf(context.items.filter((item) => item.sku !== event.sku)),
          ),
        },
        PAY: { guard: 'hasItems', target: 'paying' },
        CANCEL: 'cancelled',
      },
    },
    paying: {
      tags: 'open',
      after: { paymentTimeout: { target: 'shopping', actions: assign({ lastDecline: 'timed out' }) } },
      on: {
        PAID: {
          target: 'ordered',
          actions: [
            assign({ paymentReference: ({ event }) => event.reference }),
            emit(({ context, event }) => ({
              type: 'ordered',
              total: context.total,
              reference: event.reference,
            })),
          ],
        },
        DECLINED: { target: 'shopping', actions: assign({ lastDecline: ({ event }) => event.reason }) },
        CANCEL: 'cancelled',
      },
    },
    ordered: { type: 'final' },
    cancelled: { type: 'final' },
    abandoned: { type: 'final' },
  },
})

function added(items: readonly Item[], { sku, quantity, unitPrice }: Item): readonly Item[] {
  const before = items.find((item) => item.sku === sku)
  const after = { sku, quantity: (before?.quantity ?? 0) + quantity, unitPrice }
  return before === undefined ? [...items, after] : items.map((item) => (item === before ? after : item))
}

function cartOf(items: readonly Item[]): Pick<Context, 'items' | 'total'> {
  return { items, total: items.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice, 0) }
}

export const checkoutSession = defineSession({
  name: 'checkout',
  version: 1,
  machine,
  events,
  input: z.preprocess((given) => given ?? {}, input),
})
