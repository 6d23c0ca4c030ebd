/**
 * `ticket`: a support case between a customer and agents.
 *
 * While it is alive two things go on at once: the work (`open` → `waiting` for the customer → `resolved`) and its
 * priority. A resolved ticket that is answered opens again; one that is not, closes by itself. While a ticket waits for an
 * agent, a child machine looks at the clock.
 */
import { assign, emit, raise, sendParent, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../define-session.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const name = z.string().min(1).max(100)
const text = z.string().min(1).max(4000)
const input = z.strictObject({
  subject: z.string().min(1).max(200),
  customer: name,
  /** How long the ticket may wait for an agent before each reminder. */
  remindAfterMs: z
    .int()
    .min(1000)
    .max(30 * DAY_MS)
    .default(4 * HOUR_MS),
  /** How long a resolved ticket can be answered before it is closed. */
  closeAfterMs: z
    .int()
    .min(1000)
    .max(365 * DAY_MS)
    .default(7 * DAY_MS),
})
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
/** Then the priority rises instead. */
const REMINDERS = 3

interface Message {
  readonly from: 'agent' | 'customer' | 'note'
  readonly text: string
}

interface Context {
  readonly subject: string
  readonly customer: string
  readonly remindAfterMs: number
  readonly closeAfterMs: number
  readonly agent: string | null
  readonly messages: readonly Message[]
}

/** From child to parent. */
interface Remind {
  readonly type: 'REMIND'
  readonly count: number
}

/** The agreed time for an answer: begins when a ticket starts to wait for an agent, and is stopped with the waiting. */
const sla = setup({
  types: {} as {
    context: { readonly remindAfterMs: number; readonly count: number }
    input: { readonly remindAfterMs: number }
  },
  delays: { remindAfter: ({ context }) => context.remindAfterMs },
}).createMachine({
  id: 'sla',
  context: ({ input }) => ({ ...input, count: 0 }),
  initial: 'waiting',
  states: {
    waiting: { after: { remindAfter: 'reminding' } },
    reminding: {
      entry: [
        assign({ count: ({ context }) => context.count + 1 }),
        sendParent(({ context }): Remind => ({ type: 'REMIND', count: context.count })),
      ],
      always: [{ guard: ({ context }) => context.count < REMINDERS, target: 'waiting' }, 'missed'],
    },
    missed: { type: 'final' },
  },
})

const machine = setup({
  types: {} as {
    context: Context
    input: z.infer<typeof input>
    /** The schema `events` keeps clients from sending REMIND. */
    events: z.infer<typeof events> | Remind
    emitted: { type: 'reminder'; count: number; agent: string | null }
  },
  actors: { sla },
  delays: { closeAfter: ({ context }) => context.closeAfterMs },
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
  context: ({ input }) => ({ ...input, agent: null, messages: [] }),
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
              invoke: {
                src: 'sla',
                id: 'sla',
                input: ({ context }) => ({ remindAfterMs: context.remindAfterMs }),
                onDone: { actions: raise({ type: 'ESCALATE' }) },
              },
              on: {
                REMIND: {
                  actions: emit(({ context, event }) => ({
                    type: 'reminder',
                    count: event.count,
                    agent: context.agent,
                  })),
                },
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
              after: { closeAfter: '#ticket.closed' },
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

export const ticketSession = defineSession({
  name: 'ticket',
  version: 1,
  machine,
  events,
  input,
  // Agents see who else has it open.
  presence: true,
  // While it waits for the customer no timer keeps it, and customers take their time.
  ttlMs: 90 * DAY_MS,
  doneTtlMs: DAY_MS,
})
