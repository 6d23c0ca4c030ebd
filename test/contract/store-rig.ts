/** The stores that keep the contract of the port, each with what a test needs to see of it besides. */
import { parseFeedMessage } from '../../actors/feed-message.ts'
import type { FeedMessage } from '../../actors/feed-message.ts'
import type { SessionStore } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'
import { MemoryServer } from '../../persistence/memory-server.ts'
import type { AuditedTransition } from '../../persistence/memory-server.ts'
import { MemorySessionStore } from '../../persistence/memory-session-store.ts'
import { Listener, stateIn, tracesOf } from '../persistence/store-support.ts'
import { sleepMs, TestCluster } from '../support/hosts.ts'

export interface StoreRig {
  /** A process' store; all of a rig share one server. */
  store(options?: { readonly commandKeyTtlMs?: number }): Promise<SessionStore>
  /** Everything that must not change where nothing was committed. */
  state(id: SessionId): Promise<unknown>
  /** What the session has in the outbox. */
  rows(id: SessionId): Promise<AuditedTransition[]>
  /** When the sweep looks whether it has expired. */
  expiryDue(id: SessionId): Promise<number | null>
  /** What is published of the session while `act` goes on. */
  heard(id: SessionId, act: () => Promise<unknown>): Promise<(FeedMessage | null)[]>
  /** Lets the time of the server pass. */
  pass(ms: number): Promise<void>
  close(): Promise<void>
}

class RedisRig implements StoreRig {
  readonly #cluster = new TestCluster()

  store(options: { readonly commandKeyTtlMs?: number } = {}): Promise<SessionStore> {
    return this.#cluster.store(options)
  }

  state(id: SessionId): Promise<unknown> {
    return stateIn(this.#cluster, id)
  }

  async rows(id: SessionId): Promise<AuditedTransition[]> {
    const { rows } = await tracesOf(this.#cluster, id)
    return rows.map(({ e = '', v, c = '', p = '', t, k, m = '', s = '' }) => ({
      id,
      epoch: e,
      version: Number(v),
      commitId: c,
      previous: p === '' ? null : p,
      time: Number(t),
      kind: k as AuditedTransition['kind'],
      audit: m,
      state: s,
    }))
  }

  async expiryDue(id: SessionId): Promise<number | null> {
    return (await tracesOf(this.#cluster, id)).expiryEntry
  }

  async heard(id: SessionId, act: () => Promise<unknown>): Promise<(FeedMessage | null)[]> {
    const listener = await Listener.on(this.#cluster, id)
    await act()
    await listener.settled()
    listener.stop()
    // Whoever listens to one session and whoever listens to all hear the same.
    const [ofSession, ofPartition] = [listener.ofSession, listener.ofPartition]
    if (ofSession.join() !== ofPartition.join() && ofSession.every((text) => !/^[mp]/.test(text)))
      throw new Error(`the channels differ: ${JSON.stringify({ ofSession, ofPartition })}`)
    return ofSession.map(parseFeedMessage)
  }

  pass(ms: number): Promise<void> {
    return sleepMs(ms)
  }

  close(): Promise<void> {
    return this.#cluster.close()
  }
}

class MemoryRig implements StoreRig {
  #nowMs = Date.UTC(2026, 0, 1)
  readonly #server = new MemoryServer(() => this.#nowMs)
  #nodes = 0

  async store({ commandKeyTtlMs = 120_000 }: { readonly commandKeyTtlMs?: number } = {}) {
    return new MemorySessionStore({ server: this.#server, node: `m${this.#nodes++}`, commandKeyTtlMs })
  }

  async state(id: SessionId): Promise<unknown> {
    const found = this.#server.find(id)
    const due = [...this.#server.dues()].filter((each) => each.id === id)
    return structuredClone({ found: { ...found, reservation: null }, due, rows: await this.rows(id) })
  }

  async rows(id: SessionId): Promise<AuditedTransition[]> {
    return this.#server.outbox.filter((row) => row.id === id)
  }

  async expiryDue(id: SessionId): Promise<number | null> {
    return this.#server.dueAt('expiry', id)
  }

  async heard(id: SessionId, act: () => Promise<unknown>): Promise<FeedMessage[]> {
    const messages: FeedMessage[] = []
    const leave = this.#server.listen((message) => {
      if (message.id === id) messages.push(message)
    })
    await act()
    await new Promise((resolve) => setImmediate(resolve))
    leave()
    return messages
  }

  async pass(ms: number): Promise<void> {
    this.#nowMs += ms
  }

  async close(): Promise<void> {}
}

/** For `describe.each`: what it is called, and a fresh one. */
export const stores: readonly [string, () => StoreRig][] = [
  ['Redis', () => new RedisRig()],
  ['memory', () => new MemoryRig()],
]
