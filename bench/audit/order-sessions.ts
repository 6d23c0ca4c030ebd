/** The machine whose rows `audit-questions` makes up, so that they can be replayed. */
import { assign, setup } from 'xstate'
import { defineSession } from '../../actors/define-session.ts'

const machine = setup({
  types: {} as {
    context: { items: number; sum: number; note: string }
    input: { customer: number }
    events: { type: 'ADD' | 'CHECKOUT' | 'CORRECT' | 'PAY' | 'PACK' | 'SEND'; item: number }
  },
  actions: { count: assign({ items: ({ context }) => context.items + 1 }) },
}).createMachine({
  context: ({ input }) => ({ items: 1, sum: input.customer % 100, note: 'n'.repeat(80) }),
  initial: 'cart',
  states: {
    cart: { on: { ADD: { actions: 'count' }, CHECKOUT: { target: 'payment', actions: 'count' } } },
    payment: { on: { CORRECT: { actions: 'count' }, PAY: { target: 'paid', actions: 'count' } } },
    paid: { on: { PACK: { target: 'packed', actions: 'count' } } },
    packed: { on: { SEND: { target: 'sent', actions: 'count' } } },
    sent: { type: 'final' },
  },
})

export default defineSession({ name: 'order', version: 1, machine })
