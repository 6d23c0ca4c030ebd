/**
 * Sessions as this process knew them last: a bounded cache. It is never the truth; only a commit proves that what it
 * holds was current (CM7).
 *
 * In two generations: what is used goes into the younger one, and when that is full the older one is forgotten
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
  readonly #size: number
  #young = new Map<SessionId, WarmSession>()
  #old = new Map<SessionId, WarmSession>()

  /** @param size how many of the sessions that were used last it surely keeps; at most it keeps twice as many */
  constructor(size: number) {
    this.#size = size
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
    if (this.#young.size >= this.#size && !this.#young.has(id)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(id, session)
  }
}
