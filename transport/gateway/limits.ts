/** What one client may ask of a gateway. Each has a safe default; docs/protocol.md is generated from this table. */

import { MAX_DEPTH } from '../protocol/messages.ts'

interface Limit {
  readonly value: number
  readonly meaning: string
}

export const limitTable = {
  maxFrameBytes: {
    value: 256 * 1024,
    meaning:
      'Bytes of one incoming frame; a larger one closes the connection (1009). HTTP: of one body; a larger one is refused with 413.',
  },
  maxBatchLength: { value: 100, meaning: 'Requests in one batch.' },
  maxJsonDepth: {
    value: MAX_DEPTH,
    meaning:
      'Levels that the JSON of a frame, or of a body over HTTP, may nest; a deeper one is a `parse_error`.',
  },
  maxInFlight: {
    value: 256,
    meaning:
      'Requests of one connection under way; beyond it nothing is read from it until half of them are answered. HTTP: of one address; further ones are refused with 429.',
  },
  maxHttpRequests: {
    value: 2000,
    meaning:
      'HTTP requests of one process under way, without streams and waits; further ones are refused with 503.',
  },
  bodyWithinMs: {
    value: 30_000,
    meaning: 'Milliseconds in which the body of an HTTP request must have come; then it is refused with 408.',
  },
  maxSessionsPerConnection: {
    value: 100_000,
    meaning:
      'Sessions that one connection may create in its life; then `createSession` is `rate_limited`, and another connection is to be opened.',
  },
  maxSubscriptions: { value: 1000, meaning: 'Subscriptions of one connection.' },
  maxConnections: {
    value: 20_000,
    meaning:
      'Open connections of one process, among them streams and waits over HTTP; further ones are refused with 503.',
  },
  maxBufferedBytes: {
    value: 256 * 1024,
    meaning:
      'Bytes waiting for one client (a socket or a stream), beyond which views are replaced by newer ones and messages are dropped (`gap`).',
  },
  maxBacklogBytes: {
    value: 4 * 1024 * 1024,
    meaning:
      'Bytes waiting for one client, beyond which its connection is closed (4001), or its stream cut off.',
  },
  heartbeatMs: {
    value: 25_000,
    meaning:
      'Milliseconds between pings; when two are not answered the connection is closed. A stream over HTTP gets comments; one that takes none is cut off.',
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
    meaning:
      'Open connections of one process from one address, among them streams and waits over HTTP; further ones are refused with 429.',
  },
  maxRequestsPerSecond: {
    value: 5000,
    meaning:
      'Requests per second of one connection, on average; beyond it they are `rate_limited`, with `retryAfterMs`. Those without `id` are dropped. HTTP: of one address, with 429 and `Retry-After`. 0: no limit.',
  },
  maxRequestBurst: {
    value: 10_000,
    meaning:
      'Requests that one connection, or one address over HTTP, may send at once before `maxRequestsPerSecond` counts.',
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
