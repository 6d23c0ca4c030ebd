/** Why the server closes a WebSocket. 4000 to 4499: come back; 4500 to 4999: stay away until something is changed. */

interface CloseKind {
  readonly code: number
  /** Sent as the reason of the close frame; at most 123 bytes. */
  readonly reason: string
  /** For the reference. */
  readonly meaning: string
}

export const closeKinds = {
  going_away: {
    code: 4000,
    reason: 'this process leaves; connect again',
    meaning:
      'The process leaves. Connect again; a request without a reply may have been applied: send it again with its key.',
  },
  slow_consumer: {
    code: 4001,
    reason: 'too much unread data; connect again and read faster',
    meaning:
      'The client read too slowly and too much was waiting for it. Connect again and subscribe with `since`.',
  },
  no_heartbeat: {
    code: 4002,
    reason: 'no pong to two pings',
    meaning: 'Two pings were not answered. Mostly seen as 1006, since the client was unreachable.',
  },
  binary_frame: {
    code: 4500,
    reason: 'send text frames; binary frames are not understood',
    meaning: 'The client sent a binary frame; the protocol is text.',
  },
} as const satisfies Record<string, CloseKind>

export type CloseKindName = keyof typeof closeKinds
