/**
 * `ticket`: a support case between a customer and agents.
 *
 * While it is alive two things go on at once: the work (`open` → `waiting` for the customer → `resolved`) and its
 * priority. A resolved ticket that is answered opens again; closing is final.
 */
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../define-session.ts'

const name = z.string().min(1).max(100)
const text = z.string().min(1).max(4000)
const input = z.strictObject({ subject: z.string().min(1).max(200), customer: name })
const events = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ASSIGN'), agent: name }),
  z.strictObject({ type: z.literal('REPLY'), from: z.enum(['agent', 'customer']), text }),
  z.strictObject({ type: z.literal('NOTE'), text }),
  z.strictObject({ type: z.literal('ESCALATE') }),
  z.strictObject({ type: z.literal('RESOLVE') }),
  z.strictObject({ type: z.literal('CLOSE') }),
])

/** Older messages are in the audit; a session stays small. */
const MESSAGES_KEPT = 50

interface Message {
  readonly from: 'agent' | 'customer' | 'note'
  readonly text: string
}

interface Context {
  readonly subject: string
  readonly customer: string
  readonly agent: string | null
  readonly messages: readonly Message[]
}

const machine = setup({
  types: {} as { context: Context; input: z.infer<typeof input>; events: z.infer<typeof events> },
  actions: {
    append: assign({
      messages: ({ context, event }) => {
        if (event.type !== 'REPLY' && event.type !== 'NOTE') return context.messages
        const message: Message = { from: event.type === 'NOTE' ? 'note' : event.from, text: event.text }
        return [...context.messages, message].slice(-MESSAGES_KEPT)
      },
    }),
  },
  guards: {
    byAgent: ({ event }) => event.type === 'REPLY' && event.from === 'agent',
    byCustomer: ({ event }) => event.type === 'REPLY' && event.from === 'customer',
  },
}).createMachine({
  id: 'ticket',
  context: ({ input: { subject, customer } }) => ({ subject, customer, agent: null, messages: [] }),
  initial: 'alive',
  states: {
    alive: {
      type: 'parallel',
      on: {
        ASSIGN: { actions: assign({ agent: ({ event }) => event.agent }) },
        NOTE: { actions: 'append' },
      },
      states: {
        work: {
          initial: 'open',
          states: {
            open: {
              tags: 'needsAgent',
              on: {
                REPLY: [{ guard: 'byAgent', target: 'waiting', actions: 'append' }, { actions: 'append' }],
                RESOLVE: 'resolved',
              },
            },
            waiting: {
              tags: 'needsCustomer',
              on: {
                REPLY: [{ guard: 'byCustomer', target: 'open', actions: 'append' }, { actions: 'append' }],
                RESOLVE: 'resolved',
              },
            },
            resolved: {
              on: { REPLY: { target: 'open', actions: 'append' }, CLOSE: '#ticket.closed' },
            },
          },
        },
        priority: {
          initial: 'normal',
          states: {
            normal: { on: { ESCALATE: 'high' } },
            high: { tags: 'urgent', on: { ESCALATE: 'critical' } },
            critical: { tags: 'urgent' },
          },
        },
      },
    },
    closed: { type: 'final' },
  },
})

export const ticketSession = defineSession({ name: 'ticket', version: 1, machine, events, input })
