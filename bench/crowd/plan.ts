/** What a crowd of subscribers shall do, and what came of it. */
import type { Percentiles } from '../load/histogram.ts'

export interface CrowdPlan {
  /** `ws://host:port/ws` */
  readonly url: string
  /** Prefix of the session ids; another one for each crowd. */
  readonly run: string
  readonly subscribers: number
  /** Subscribers are spread over them evenly; updates go to the first. */
  readonly sessions: number
}

export interface UpdatesPlan {
  /**
   * `window`: the next update is sent when the one before is acknowledged and all but this many have arrived everywhere.
   * `rate`: updates per second, whatever the server does.
   */
  readonly pace: { readonly kind: 'window' | 'rate'; readonly value: number }
  readonly warmUpMs: number
  readonly measureMs: number
}

export interface UpdatesReport {
  readonly elapsedMs: number
  readonly updatesPerSecond: number
  readonly deliveriesPerSecond: number
  /** Milliseconds from the moment in which the writer sent an update until it was read by a subscriber. */
  readonly latency: Percentiles
  /** Of one notification, without the frame's head. */
  readonly bytesPerDelivery: number
  /** Deliveries that did not come within 10 s of the end; over the whole run. */
  readonly missing: number
  /** CPU that the crowd used, in cores; near 1 it bounds what is measured. */
  readonly crowdCores: number
}

/** From the bench to the process of the crowd, one at a time; each is answered. */
export type CrowdCommand =
  | { readonly kind: 'create'; readonly plan: CrowdPlan }
  | { readonly kind: 'connect' }
  | { readonly kind: 'connect slow'; readonly count: number }
  | { readonly kind: 'update'; readonly plan: UpdatesPlan }

export type CrowdMessage =
  | { readonly kind: 'measuring' }
  | { readonly kind: 'measured' }
  | { readonly kind: 'done'; readonly report: UpdatesReport | null }
  | { readonly kind: 'failed'; readonly reason: string }
