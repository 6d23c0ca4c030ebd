/** The store as a process of a test sees it: what is armed goes wrong here, and nothing answers a process that is dead. */
import { StoreFailure } from '../../actors/ports.ts'
import type { SessionUpdated } from '../../actors/feed-message.ts'
import type { Look, ServedVersions, SessionStore, StoreEntry, StoreOutcome } from '../../actors/ports.ts'
import type { MailEntry } from '../../actors/mail.ts'
import type { PresenceAnswer, PresenceEntry } from '../../actors/presence.ts'
import type { Position, SessionId, SessionRecord } from '../../actors/session.ts'
import { CRASH_ERROR } from '../host/promise-turns.ts'
import type { Faults } from './faults.ts'

export interface FaultyStoreOptions {
  readonly store: SessionStore
  readonly faults: Faults
  /** The process dies now. */
  readonly crash: () => void
  /** Something was done that may have consequences. */
  readonly onWork: () => void
  /** Whether other processes hear what this one serves. */
  readonly announces: boolean
}

export class FaultyStore implements SessionStore {
  readonly node: string
  readonly #options: FaultyStoreOptions
  #isDead = false

  constructor(options: FaultyStoreOptions) {
    this.node = options.store.node
    this.#options = options
  }

  /** From now on no call does anything or is answered. */
  die(): void {
    this.#isDead = true
  }

  async execute(entries: readonly StoreEntry[]): Promise<StoreOutcome[]> {
    const { store, faults } = this.#options
    const writes = entries.filter(({ kind }) => kind !== 'check')
    return this.#call(async () => {
      if (
        writes.some(({ id }) => faults.take('crashBeforeCommit', id)) ||
        writes.some((entry) => isResult(entry) && faults.take('crashBeforeResult', entry.id))
      )
        return this.#crash()
      const outcomes = await store.execute(entries)
      const committed = entries.filter((_, index) => outcomes[index]?.kind === 'committed')
      if (committed.some(({ id }) => faults.take('crashAfterCommit', id))) return this.#crash()
      if (committed.some(({ id }) => faults.take('loseReply', id)))
        throw new StoreFailure('unknown', 'the reply was lost, as the test wanted')
      return outcomes
    })
  }

  read(id: SessionId): Promise<SessionRecord | null> {
    return this.#call(() => this.#options.store.read(id))
  }

  history(id: SessionId, count: number): Promise<SessionUpdated[]> {
    return this.#call(() => this.#options.store.history(id, count))
  }

  /** Asked for again and again, and mostly without consequences. */
  positions(ids: readonly SessionId[]): Promise<(Position | null)[]> {
    return this.#quietCall(() => this.#options.store.positions(ids))
  }

  broadcast(id: SessionId, message: string): Promise<void> {
    return this.#call(() => this.#options.store.broadcast(id, message))
  }

  /** What it finds is done by other calls. */
  look(partition: number, horizonMs: number, limit: number, skip?: number): Promise<Look> {
    return this.#quietCall(() => this.#options.store.look(partition, horizonMs, limit, skip))
  }

  mail(partition: number, afterId: string, limit: number): Promise<MailEntry[]> {
    return this.#call(() => this.#options.store.mail(partition, afterId, limit))
  }

  hasMail(partition: number, entryIds: readonly string[]): Promise<boolean[]> {
    return this.#call(() => this.#options.store.hasMail(partition, entryIds))
  }

  deleteMail(partition: number, entries: readonly MailEntry[]): Promise<void> {
    return this.#call(() => this.#options.store.deleteMail(partition, entries))
  }

  renew(partition: number, ids: readonly SessionId[], leaseMs: number): Promise<SessionId[]> {
    return this.#call(() => this.#options.store.renew(partition, ids, leaseMs))
  }

  /** Told again and again, without consequences. */
  announce(served: ServedVersions | null): Promise<ServedVersions[]> {
    const { store, announces } = this.#options
    return this.#quietCall(() => store.announce(announces ? served : null))
  }

  /** Of connections, which a test has none of. */
  tellPresence(partition: number, entries: readonly PresenceEntry[]): Promise<PresenceAnswer[]> {
    return this.#quietCall(() => this.#options.store.tellPresence(partition, entries))
  }

  now(): number {
    return this.#options.store.now()
  }

  #call<T>(call: () => Promise<T>): Promise<T> {
    if (!this.#isDead) this.#options.onWork()
    return this.#quietCall(call)
  }

  #quietCall<T>(call: () => Promise<T>): Promise<T> {
    return this.#isDead ? never() : call()
  }

  #crash(): Promise<never> {
    this.#options.crash()
    return never()
  }
}

/** Whether a promise actor has come to its end; that its process is gone is none. */
function isResult(entry: StoreEntry): boolean {
  const [transition] = entry.kind === 'commit' ? entry.transitions : []
  return transition?.kind === 'result' && !transition.audit.includes(`"name":"${CRASH_ERROR}"`)
}

function never(): Promise<never> {
  return new Promise(() => undefined)
}
