/** The sessions that a connection is subscribed to, and which view of each its client was sent last: patches are of that one. */
import { TroupeError } from '../../actors/errors.ts'
import type { Principal } from '../../actors/ports.ts'
import { comparePositions, type Position, type SessionId } from '../../actors/session.ts'
import { SmallMap } from '../feed/small-map.ts'
import type { Frame, UpdatedNotification } from '../feed/subscriber.ts'

interface Subscription {
  readonly delta: boolean
  /** `null`: none, or not as its client would be shown it now. */
  has: Position | null
}

export class Subscriptions {
  readonly #max: number
  readonly #byId = new SmallMap<SessionId, Subscription>()

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#byId.size
  }

  ids(): Iterable<SessionId> {
    return this.#byId.keys()
  }

  /** @param delta whether the client wants patches. @throws TroupeError `rate_limited` if there are too many */
  add(id: SessionId, delta: boolean): void {
    const before = this.#byId.get(id)
    if (this.#byId.size >= this.#max && before === undefined) {
      throw new TroupeError(
        'rate_limited',
        `This connection has ${this.#max} subscriptions, the most allowed. Unsubscribe some, or open another connection.`,
      )
    }
    this.#byId.set(id, { delta, has: before?.has ?? null })
  }

  delete(id: SessionId): void {
    this.#byId.delete(id)
  }

  clear(): void {
    this.#byId.clear()
  }

  /** The client has been sent, or has kept, the view of this position. */
  sent(id: SessionId, position: Position): void {
    const subscription = this.#byId.get(id)
    if (subscription !== undefined) subscription.has = position
  }

  /** From now on views are made for another principal: what was sent is no base of a patch. */
  forgetViews(): void {
    for (const subscription of this.#byId.values()) subscription.has = null
  }

  /** How an update is sent to this principal. @param isWhole whatever the client wants, since it may skip this one */
  frameOf(
    { id, record, patch, frame }: UpdatedNotification,
    principal: Principal | null,
    isWhole: boolean,
  ): Frame {
    const subscription = this.#byId.get(id)
    if (subscription === undefined) return frame
    const { delta, has } = subscription
    subscription.has = record
    if (!delta || isWhole || patch === null || has === null) return frame
    return comparePositions(has, patch.base) === 0 ? (patch.frame(principal) ?? frame) : frame
  }
}
