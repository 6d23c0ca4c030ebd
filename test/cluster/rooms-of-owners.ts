/** Rooms that only their owner may see or change, and that say whose they are. */
import { assign, setup } from 'xstate'
import { defineSession } from 'troupe'

const machine = setup({
  types: {} as {
    context: { owner: string; notes: Record<string, number> }
    events: { type: 'NOTE'; by: string; n: number }
    input: { owner: string }
  },
}).createMachine({
  context: ({ input }) => ({ owner: input.owner, notes: {} }),
  on: {
    NOTE: {
      actions: assign({ notes: ({ context, event }) => ({ ...context.notes, [event.by]: event.n }) }),
    },
  },
})

export default defineSession({
  name: 'room',
  version: 1,
  machine,
  authorize: ({ principal, action, input, session }) =>
    (action === 'create' ? (input as { owner?: string } | undefined)?.owner : session()?.context.owner) ===
    principal?.id,
})
