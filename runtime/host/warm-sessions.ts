/**
 * Sessions as this process knew them last: a bounded cache, least recently used goes first. It is never the truth;
 * only a commit proves that what it holds was current (CM7).
 */
import type { Live } from '../../actors/plan.ts'
import { comparePositions } from '../../actors/session.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'

export interface WarmSession {
  readonly record: SessionRecord
  /** Restored when it is first needed. */
  live: Live | null
}

export class WarmSessions {
  readonly #limit: number
  readonly #sessions = new Map<SessionId, WarmSession>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get(id: SessionId): WarmSession | null {
    const session = this.#sessions.get(id)
    if (session === undefined) return null
    this.#sessions.delete(id)
    this.#sessions.set(id, session)
    return session
  }

  /** The same record as it is known here, if it is: each keeps the text that it was read from. */
  shared(record: SessionRecord): SessionRecord {
    const known = this.#sessions.get(record.id)?.record
    return known !== undefined && comparePositions(known, record) === 0 ? known : record
  }

  set(session: WarmSession): void {
    const { id } = session.record
    this.#sessions.delete(id)
    this.#sessions.set(id, session)
    if (this.#sessions.size <= this.#limit) return
    for (const oldest of this.#sessions.keys()) {
      this.#sessions.delete(oldest)
      return
    }
  }

  delete(id: SessionId): void {
    this.#sessions.delete(id)
  }

  /** Another process has committed: what is known here moves on. Sessions that are not warm stay so. */
  observe(record: SessionRecord): void {
    const known = this.#sessions.get(record.id)
    if (known !== undefined && comparePositions(known.record, record) < 0) {
      this.#sessions.set(record.id, { record, live: null })
    }
  }
}
