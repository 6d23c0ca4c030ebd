/** Sessions in memory: the store port as one process sees it. Processes that share a server share its sessions. */
import { partitionOf } from '../actors/partitions.ts'
import type { SessionUpdated } from '../actors/feed-message.ts'
import type { MailEntry } from '../actors/mail.ts'
import type { Look, ServedVersions, SessionStore, StoreEntry, StoreOutcome } from '../actors/ports.ts'
import type { PresenceAnswer, PresenceEntry } from '../actors/presence.ts'
import type { Position, SessionId, SessionRecord } from '../actors/session.ts'
import { answer, liveRecord } from './memory-commit.ts'
import type { MemoryServer } from './memory-server.ts'

export interface MemorySessionStoreOptions {
  readonly server: MemoryServer
  /** Id of this process among the writers: letters and digits, unique for each start. */
  readonly node: string
  readonly commandKeyTtlMs: number
}

/** Never fails, and has done what it was asked for when the call returns; the answer comes a little later. */
export class MemorySessionStore implements SessionStore {
  readonly node: string
  readonly #server: MemoryServer
  readonly #commandKeyTtlMs: number

  constructor({ server, node, commandKeyTtlMs }: MemorySessionStoreOptions) {
    this.node = node
    this.#server = server
    this.#commandKeyTtlMs = commandKeyTtlMs
  }

  async execute(entries: readonly StoreEntry[]): Promise<StoreOutcome[]> {
    const server = this.#server
    const call = { server, node: this.node, commandKeyTtlMs: this.#commandKeyTtlMs, nowMs: server.now() }
    return entries.map((entry) => answer(call, entry))
  }

  async read(id: SessionId): Promise<SessionRecord | null> {
    return liveRecord(this.#server.find(id), this.now())
  }

  async history(id: SessionId, count: number): Promise<SessionUpdated[]> {
    return this.#server.historyOf(id).slice(-count)
  }

  async positions(ids: readonly SessionId[]): Promise<(Position | null)[]> {
    return ids.map((id) => {
      const found = this.#server.find(id)
      if (found === null) return null
      const { epoch, version } = found.kind === 'record' ? found.record : found.position
      return { epoch, version }
    })
  }

  async broadcast(id: SessionId, message: string): Promise<void> {
    this.#server.publish({ kind: 'message', id, message })
  }

  async look(partition: number, horizonMs: number, limit: number, skip = 0): Promise<Look> {
    return this.#server.look(partition, this.node, horizonMs, limit, skip)
  }

  async mail(partition: number, afterId: string, limit: number): Promise<MailEntry[]> {
    return this.#server.mail(partition, afterId, limit)
  }

  async hasMail(partition: number, entryIds: readonly string[]): Promise<boolean[]> {
    return this.#server.hasMail(partition, entryIds)
  }

  async deleteMail(partition: number, entries: readonly MailEntry[]): Promise<void> {
    this.#server.deleteMail(partition, entries)
  }

  async renew(partition: number, ids: readonly SessionId[], leaseMs: number): Promise<SessionId[]> {
    const server = this.#server
    return ids.filter((id) => {
      if (partitionOf(id) !== partition || server.dueAt('lease', id, this.node) === null) return true
      server.setDue({ kind: 'lease', id, node: this.node, dueMs: server.now() + leaseMs })
      return false
    })
  }

  async announce(served: ServedVersions | null): Promise<ServedVersions[]> {
    return this.#server.announce(this.node, served)
  }

  async tellPresence(_partition: number, entries: readonly PresenceEntry[]): Promise<PresenceAnswer[]> {
    return this.#server.presence.tell(this.node, entries)
  }

  now(): number {
    return this.#server.now()
  }
}
