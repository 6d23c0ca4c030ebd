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
} as const satisfies Record<string, Limit>

export type GatewayLimits = { readonly [L in keyof typeof limitTable]: number }

export const defaultLimits = Object.fromEntries(
  Object.entries(limitTable).map(([name, limit]) => [name, limit.value]),
) as GatewayLimits
