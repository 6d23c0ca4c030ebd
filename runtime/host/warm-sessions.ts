/**
 * Sessions as this process knew them last: a bounded cache. It is never the truth; only a commit proves that what it
 * holds was current (CM7).
 *
 * In two generations: what is used goes into the younger one, and when that is half of the limit the older one is forgotten
 * (https://github.com/dominictarr/hashlru). To keep the exact order of use would cost a deletion and an insertion at each look.
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
  readonly #ofGeneration: number
  #young = new Map<SessionId, WarmSession>()
  #old = new Map<SessionId, WarmSession>()

  /** @param limit how many sessions it keeps at most; the last half of those that were used is always there */
  constructor(limit: number) {
    this.#ofGeneration = Math.max(1, Math.floor(limit / 2))
  }

  get(id: SessionId): WarmSession | null {
    const young = this.#young.get(id)
    if (young !== undefined) return young
    const old = this.#old.get(id)
    if (old === undefined) return null
    this.#use(id, old)
    return old
  }

  /** The same record as it is known here, if it is: each keeps the text that it was read from. */
  shared(record: SessionRecord): SessionRecord {
    const known = this.#find(record.id)?.record
    return known !== undefined && comparePositions(known, record) === 0 ? known : record
  }

  set(session: WarmSession): void {
    this.#use(session.record.id, session)
  }

  delete(id: SessionId): void {
    this.#young.delete(id)
    this.#old.delete(id)
  }

  /** Another process has committed: what is known here moves on. Sessions that are not warm stay so. */
  observe(record: SessionRecord): void {
    const known = this.#find(record.id)
    if (known === undefined || comparePositions(known.record, record) >= 0) return
    const generation = this.#young.has(record.id) ? this.#young : this.#old
    generation.set(record.id, { record, live: null })
  }

  #find(id: SessionId): WarmSession | undefined {
    return this.#young.get(id) ?? this.#old.get(id)
  }

  #use(id: SessionId, session: WarmSession): void {
    if (this.#young.size >= this.#ofGeneration && !this.#young.has(id)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(id, session)
  }
}
