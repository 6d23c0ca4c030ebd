/** What one client may ask of a gateway. Each has a safe default; docs/protocol.md is generated from this table. */

interface Limit {
  readonly value: number
  readonly meaning: string
}

export const limitTable = {
  maxFrameBytes: {
    value: 256 * 1024,
    meaning: 'Bytes of one incoming frame; a larger one closes the connection (1009).',
  },
  maxBatchLength: { value: 100, meaning: 'Requests in one batch.' },
  maxInFlight: {
    value: 256,
    meaning:
      'Requests of one connection under way; beyond it nothing is read from it until half of them are answered.',
  },
  maxSubscriptions: { value: 1000, meaning: 'Subscriptions of one connection.' },
  maxConnections: {
    value: 20_000,
    meaning: 'Open connections of one process; further ones are refused with 503.',
  },
  maxBufferedBytes: {
    value: 256 * 1024,
    meaning:
      'Bytes waiting for one client, beyond which views are replaced by newer ones and messages are dropped (`gap`).',
  },
  maxBacklogBytes: {
    value: 4 * 1024 * 1024,
    meaning: 'Bytes waiting for one client, beyond which its connection is closed (4001).',
  },
  heartbeatMs: {
    value: 25_000,
    meaning: 'Milliseconds between pings; when two are not answered the connection is closed.',
  },
  authenticateWithinMs: {
    value: 5000,
    meaning:
      'Milliseconds in which a client must have said who it is, where authentication is configured (4501).',
  },
  maxUnauthenticated: {
    value: 1000,
    meaning:
      'Connections of one process that have not said yet who they are, with upgrades whose token is being checked; further ones are refused with 503.',
  },
  maxConnectionsPerAddress: {
    value: 5000,
    meaning: 'Open connections of one process from one address; further ones are refused with 429.',
  },
  maxRequestsPerSecond: {
    value: 5000,
    meaning:
      'Requests per second of one connection, on average; beyond it they are `rate_limited`, with `retryAfterMs`. Those without `id` are dropped. 0: no limit.',
  },
  maxRequestBurst: {
    value: 10_000,
    meaning: 'Requests that one connection may send at once before `maxRequestsPerSecond` counts.',
  },
  maxIdleMs: {
    value: 0,
    meaning:
      'Milliseconds without a request and without a subscription, after which a connection is closed (4003). 0: never.',
  },
} as const satisfies Record<string, Limit>

export type GatewayLimits = { readonly [L in keyof typeof limitTable]: number }

export const defaultLimits = Object.fromEntries(
  Object.entries(limitTable).map(([name, limit]) => [name, limit.value]),
) as GatewayLimits
