/** A poll that everybody in a room answers: `npm start -- examples/poll.ts`. */
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from 'troupe'

const input = z.object({
  question: z.string().min(1).max(200),
  options: z.array(z.string().min(1).max(100)).min(2).max(20),
})
const events = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('VOTE'), voter: z.string().min(1).max(64), option: z.string() }),
  z.strictObject({ type: z.literal('CLOSE') }),
])

const machine = setup({
  types: {} as {
    input: z.infer<typeof input>
    events: z.infer<typeof events>
    context: { question: string; options: string[]; votes: Record<string, string> }
  },
  guards: {
    exists: ({ context, event }) => event.type === 'VOTE' && context.options.includes(event.option),
  },
}).createMachine({
  id: 'poll',
  context: ({ input }) => ({ ...input, votes: {} }),
  initial: 'open',
  output: ({ context }) => countVotes(context.options, context.votes),
  states: {
    open: {
      on: {
        VOTE: {
          guard: 'exists',
          actions: assign({
            votes: ({ context, event }) => ({ ...context.votes, [event.voter]: event.option }),
          }),
        },
        CLOSE: 'closed',
      },
    },
    closed: { type: 'final' },
  },
})

function countVotes(options: string[], votes: Record<string, string>): Record<string, number> {
  const given = Object.values(votes)
  return Object.fromEntries(options.map((option) => [option, given.filter((vote) => vote === option).length]))
}

export default defineSession({ name: 'poll', version: 1, machine, events, input })
