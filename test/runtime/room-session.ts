/** A room whose members may enter, leave and see it, and whose owner may do everything. */
import { assign, emit, setup } from 'xstate'
import { defineSession } from '../../actors/define-session.ts'
import type { Authorize } from '../../actors/authorization.ts'

type RoomEvent =
  | { type: 'SAY'; text: string }
  | { type: 'ADD'; who: string }
  | { type: 'DROP'; who: string }
  | { type: 'NOTHING' }
  | { type: 'CLOSE' }

interface Room {
  owner: string
  members: string[]
  said: string[]
}

const machine = setup({
  types: {} as {
    context: Room
    input: { owner: string; members?: string[] }
    events: RoomEvent
    emitted: { type: 'dropped'; who: string }
  },
}).createMachine({
  context: ({ input }) => ({ owner: input.owner, members: input.members ?? [], said: [] }),
  initial: 'open',
  states: {
    open: {
      on: {
        SAY: { actions: assign({ said: ({ context, event }) => [...context.said, event.text] }) },
        ADD: { actions: assign({ members: ({ context, event }) => [...context.members, event.who] }) },
        DROP: {
          actions: [
            assign({ members: ({ context, event }) => context.members.filter((who) => who !== event.who) }),
            emit(({ event }) => ({ type: 'dropped', who: event.who }) as const),
          ],
        },
        CLOSE: 'closed',
      },
    },
    closed: { type: 'final' },
  },
})

function isMember(context: Room, who: string | undefined): boolean {
  return who === context.owner || context.members.includes(who ?? '')
}

/** The rule of {@link roomSession}. */
export const roomRule: Authorize<typeof machine> = ({
  principal,
  action,
  event,
  input,
  message,
  session,
}) => {
  if (action === 'create') return input?.owner === principal?.id
  const room = session()
  if (room === null) return false
  const isOwner = principal?.id === room.context.owner
  if (action === 'delete' || event?.type === 'ADD' || event?.type === 'DROP') return isOwner
  if (action === 'broadcast' && message === 'secret') return isOwner
  return isMember(room.context, principal?.id)
}

export function roomSession(authorize: Authorize<typeof machine> = roomRule, name = 'room') {
  return defineSession({ name, version: 1, machine, authorize })
}
