/** Ends of sessions that are told behind the replies that are under way for them: a reply may tell of a time before the end. */
import { comparePositions, type Position } from '../../actors/session.ts'
import type { EndedNotification } from '../feed/subscriber.ts'

export class HeldEnds {
  /** How many replies of a session are under way. */
  #replying: Map<string, number> | null = null
  #ends: Map<string, EndedNotification> | null = null

  /** A reply of this session is under way. */
  begin(id: string): void {
    this.#replying ??= new Map()
    this.#replying.set(id, (this.#replying.get(id) ?? 0) + 1)
  }

  /** It was sent. @returns the end to tell now */
  replied(id: string): EndedNotification | null {
    const others = (this.#replying?.get(id) ?? 1) - 1
    if (others > 0) {
      this.#replying?.set(id, others)
      return null
    }
    if (this.#replying?.delete(id) === true && this.#replying.size === 0) this.#replying = null
    return this.#take(id)
  }

  /** @returns whether it is kept for later; else it is to be told now */
  hold(ended: EndedNotification): boolean {
    if (this.#replying?.has(ended.id) !== true) return false
    this.#ends ??= new Map()
    this.#ends.set(ended.id, ended)
    return true
  }

  /** @param next what is told of the session now. @returns the end that comes before it */
  before(id: string, next: Position): EndedNotification | null {
    const ended = this.#ends?.get(id)
    return ended === undefined || comparePositions(ended.position, next) > 0 ? null : this.#take(id)
  }

  /** A reply says it. */
  told(id: string): void {
    this.#take(id)
  }

  #take(id: string): EndedNotification | null {
    const ended = this.#ends?.get(id) ?? null
    if (this.#ends?.delete(id) === true && this.#ends.size === 0) this.#ends = null
    return ended
  }
}
