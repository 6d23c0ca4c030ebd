/**
 * The machine that every bench runs: a shopping basket with a context of about 340 bytes that changes with each
 * event and never grows. Plain XState, so that the hand-written baseline uses exactly the same.
 */
import { assign, setup } from 'xstate'

interface Line {
  sku: string
  name: string
  quantity: number
  unitCents: number
}

interface Basket {
  customer: string
  currency: string
  lines: Line[]
  totalCents: number
  changes: number
}

export type BasketEvent =
  | { type: 'SET_QUANTITY'; line: number; quantity: number }
  | { type: 'CHECK_OUT' }
  | { type: 'BACK' }
  | { type: 'PAID' }

const lines: readonly Line[] = [
  { sku: 'CUP-0114', name: 'Espresso cup, white', quantity: 1, unitCents: 1250 },
  { sku: 'POT-0020', name: 'Moka pot, 6 cups', quantity: 1, unitCents: 3990 },
  { sku: 'BEA-0777', name: 'Beans, 1 kg', quantity: 2, unitCents: 2150 },
  { sku: 'FIL-0003', name: 'Paper filters', quantity: 1, unitCents: 480 },
]

function totalOf(of: readonly Line[]): number {
  return of.reduce((sum, line) => sum + line.quantity * line.unitCents, 0)
}

export const basketMachine = setup({
  types: { context: {} as Basket, events: {} as BasketEvent },
  guards: {
    isKnownLine: ({ context, event }) => event.type === 'SET_QUANTITY' && event.line in context.lines,
  },
  actions: {
    setQuantity: assign(({ context, event }) => {
      if (event.type !== 'SET_QUANTITY') return context
      const changed = context.lines.map((line, index) =>
        index === event.line ? { ...line, quantity: event.quantity } : line,
      )
      return { lines: changed, totalCents: totalOf(changed), changes: context.changes + 1 }
    }),
  },
}).createMachine({
  id: 'basket',
  initial: 'open',
  context: () => ({
    customer: 'c-4711',
    currency: 'EUR',
    lines: lines.map((line) => ({ ...line })),
    totalCents: totalOf(lines),
    changes: 0,
  }),
  states: {
    open: {
      on: { SET_QUANTITY: { guard: 'isKnownLine', actions: 'setQuantity' }, CHECK_OUT: 'paying' },
    },
    paying: { tags: ['busy'], on: { BACK: 'open', PAID: 'closed' } },
    closed: { type: 'final' },
  },
})
