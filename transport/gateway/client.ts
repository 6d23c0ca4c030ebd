/** A connection as the methods see it. */
import type { TroupeError } from '../../actors/errors.ts'
import type { Caller } from '../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import type { Identity } from '../auth/authenticator.ts'
import type { Subscriber } from '../feed/subscriber.ts'

export interface Client extends Subscriber {
  readonly clientId: string
  /** Calls whose reply carries the update. */
  readonly caller: Caller
  /** Calls that are not answered. */
  readonly silentCaller: Caller
  readonly closed: boolean
  /** JSON text of the view that a reply with this record must carry, the newest that the client knows of. */
  viewForReply(record: SessionRecord): string
  reply(text: string): void
  /** A reply was written for a call that stood in the order of session `lane`. */
  replied(lane: string): void
  /** A call is over that stood in the order of session `lane` (`null`: of none). */
  finished(lane: string | null): void
  /** What was thrown as an error for the client; faults are logged. */
  blame(method: string, thrown: unknown): TroupeError

  /** A request that may take long: `giveUp` is called if the connection ends or retires before it is released. */
  holds(giveUp: () => void): () => void

  /** Says or renews who the client is. @throws TroupeError */
  authenticate(token: string): Promise<Identity>

  /**
   * Counts a session that it is about to create.
   * @returns how to take that back: none was created. @throws TroupeError `rate_limited` if there were too many
   */
  claimCreation(): () => void

  /**
   * Takes a place among the connection's subscriptions.
   * @param delta whether it wants patches of the views that it has
   * @throws TroupeError `rate_limited` if there are too many
   */
  claimSubscription(id: SessionId, delta: boolean): void
  /** Gives the place back, and forgets what waits for it. */
  releaseSubscription(id: SessionId): void
  /** A reply carries the members of this session. */
  rosterTold(id: SessionId): void
  /** A reply is about to tell the end of this session: what is kept back of it is not wanted any more. */
  endTold(id: SessionId): void
}
