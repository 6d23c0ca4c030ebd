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
  idle: {
    code: 4003,
    reason: 'no request and no subscription for long; connect again when there is something to do',
    meaning:
      'There was no request and no subscription for `maxIdleMs`. Connect again when there is something to do.',
  },
  binary_frame: {
    code: 4500,
    reason: 'send text frames; binary frames are not understood',
    meaning: 'The client sent a binary frame; the protocol is text.',
  },
  unauthenticated: {
    code: 4501,
    reason: 'authenticate with a token within the time for it',
    meaning:
      'The client did not say who it is within `authenticateWithinMs`. Send a token with the upgrade, or `authenticate` first.',
  },
  token_expired: {
    code: 4502,
    reason: 'the token has expired; connect with a new one',
    meaning:
      'The token has expired. Connect again with a new one; send `authenticate` in time the next time.',
  },
} as const satisfies Record<string, CloseKind>

export type CloseKindName = keyof typeof closeKinds
