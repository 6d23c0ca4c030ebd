/** What a test and the crowd's process say to each other. Times are those of the machine's clock, in ms. */

export interface CrowdPlan {
  readonly url: string
  readonly clients: number
  readonly sessions: number
  /** So many of the clients write, each once in `pauseMs`. */
  readonly writers: number
  readonly pauseMs: number
}

export interface AcknowledgedUpdate {
  readonly session: string
  readonly key: string
  readonly version: number
  readonly sentAt: number
  readonly latencyMs: number
}

export interface CrowdReport {
  readonly acknowledged: readonly AcknowledgedUpdate[]
  /** Updates that were refused, or not answered. */
  readonly failures: readonly string[]
  /** When a connection was asked for. */
  readonly connectedAt: readonly number[]
  /** When a client was told to go away, and for what time it is to spread itself. */
  readonly toldAt: readonly { readonly at: number; readonly jitterMs: number }[]
  /** Of each client: how long it was without any connection, after its first. */
  readonly withoutMs: readonly number[]
  /** By how much the crowd's own timers were late: what is in the latencies, and no fault of the servers. */
  readonly lateMs: { readonly p99: number; readonly max: number }
  /** Close codes, and how often each came. */
  readonly closeCodes: { readonly [code: string]: number }
  /** Clients that have no connection now, or not the newest version of their session. */
  readonly behind: readonly string[]
}

export type ToCrowd =
  | { readonly type: 'start'; readonly plan: CrowdPlan }
  /** No new updates; it reports once those under way are answered and all clients are current. */
  | { readonly type: 'finish' }

export type FromCrowd =
  /** All are connected and subscribed. */
  { readonly type: 'ready' } | { readonly type: 'report'; readonly report: CrowdReport }
