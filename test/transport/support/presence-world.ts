/** Processes that share members in memory, over a network that a test can break, in the time of the test. */
import { expect } from 'vitest'
import type { PresenceChange } from '../../../actors/feed-message.ts'
import type { Principal } from '../../../actors/ports.ts'
import type { PresenceAnswer, PresenceEntry, PresenceMember } from '../../../actors/presence.ts'
import { StoreFailure } from '../../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../../actors/session.ts'
import { MemoryPresence } from '../../../persistence/memory-presence.ts'
import { FanOut } from '../../../transport/feed/fan-out.ts'
import type { Notification, Subscriber } from '../../../transport/feed/subscriber.ts'
import { ManualClock, settled } from './manual-clock.ts'
import { encodeView, HandFeed, KeptLog, makeRecord, sessionId } from './parts.ts'

/** A session of a definition with presence, and one of a definition without. */
const ROOM = sessionId('room')
export const PLAIN = sessionId('plain')

export class PresenceWorld {
  readonly clock = new ManualClock()
  readonly processes: PresenceProcess[] = []
  store = this.#newStore()
  #nodes = 0

  async start(): Promise<PresenceProcess> {
    const process = new PresenceProcess(this, `n${this.#nodes++}`)
    this.processes.push(process)
    return process
  }

  /** Redis comes back empty. */
  flush(): void {
    this.store = this.#newStore()
  }

  #newStore(): MemoryPresence {
    // Redis' time goes on where a list was lost.
    return new MemoryPresence(
      () => 1_700_000_000_000 + Math.floor(this.clock.now()),
      (change) => {
        for (const process of this.processes) process.arrived(change)
      },
    )
  }
}

export class PresenceProcess {
  readonly node: string
  readonly feed = new HandFeed()
  readonly log = new KeptLog()
  readonly fanOut: FanOut
  /** Sessions of each call that it made. */
  readonly calls: (readonly PresenceEntry[])[] = []
  /** What becomes of a change on its way here; default: it arrives at once. */
  onTheWay: (change: PresenceChange, arrive: () => void) => void = (_, arrive) => arrive()
  /** What goes wrong with a call: nothing, the way there, or the way back. */
  fails: () => 'never' | 'before' | 'after' = () => 'never'
  /** How long a session takes to be read. */
  readMs = 0
  #isDead = false

  constructor(world: PresenceWorld, node: string) {
    this.node = node
    const { clock } = world
    this.fanOut = new FanOut({
      feed: this.feed,
      node,
      clock: {
        now: () => clock.now(),
        setTimeout: (callback, ms) => clock.setTimeout(() => (this.#isDead ? undefined : callback()), ms),
      },
      logger: this.log,
      encodeView,
      viewGroup: () => '',
      read: async (id) => {
        if (this.readMs > 0) await new Promise<void>((resolve) => clock.setTimeout(resolve, this.readMs))
        return makeRecord(id, 1)
      },
      history: async () => [],
      positions: async (ids) => ids.map((id) => makeRecord(id, 1)),
      presence: {
        tell: async (_, entries) => {
          this.calls.push(entries)
          await settled()
          return this.#tell(world, entries)
        },
        memberOf: ({ id }: SessionRecord) =>
          id === PLAIN
            ? null
            : (client: string, principal: Principal | null) =>
                JSON.stringify({ client, principal: principal?.id ?? null }),
      },
    })
    this.fanOut.start()
  }

  async #tell(world: PresenceWorld, entries: readonly PresenceEntry[]): Promise<PresenceAnswer[]> {
    const failure = this.fails()
    if (this.#isDead) return new Promise(() => undefined)
    if (failure === 'before') throw new StoreFailure('unknown', 'no way there')
    const answers = world.store.tell(this.node, entries)
    await settled()
    if (failure === 'after') throw new StoreFailure('unknown', 'no way back')
    return answers
  }

  /** Nothing that it does has any effect from now on. */
  crash(): void {
    this.#isDead = true
  }

  arrived(change: PresenceChange): void {
    if (this.#isDead || !this.feed.subscribed.has(change.id)) return
    this.onTheWay(change, () => this.feed.onMessage(change))
  }

  /** Begins to subscribe. */
  join(client: PresentClient, presence = true, id: SessionId = ROOM): Promise<void> {
    client.isAsking = true
    const joined = new Promise<void>((resolve, reject) => {
      this.fanOut.join(
        id,
        client,
        (_record, _missed, roster) => {
          client.isAsking = false
          // As a connection does that was closed meanwhile.
          if (client.isGone) this.fanOut.leave(id, client)
          client.begins(roster?.() ?? null)
          resolve()
        },
        (error) => {
          client.isAsking = false
          this.fanOut.leave(id, client)
          reject(error instanceof Error ? error : new Error('failed'))
        },
        { presence },
      )
    })
    joined.catch(() => undefined)
    return joined
  }

  leave(client: PresentClient, id: SessionId = ROOM): void {
    client.isGone = true
    this.fanOut.leave(id, client)
  }
}

/** A client that keeps the list of members by what it is told. */
export class PresentClient implements Subscriber {
  readonly watches = 'subscribe'
  readonly principal: Principal
  readonly clientId: string
  /** What it was told: `+a`, `-b`. */
  readonly story: string[] = []
  /** `null`: it has not asked. */
  list: Set<string> | null = null
  isAsking = false
  isGone = false

  constructor(name: string) {
    this.clientId = name
    this.principal = { id: `p-${name}` }
  }

  begins(roster: string | null): void {
    this.list = roster === null ? null : new Set(clientsOf(JSON.parse(roster)))
  }

  deliver(notification: Notification): void {
    if (notification.kind !== 'presence') return
    const text = notification.frame.eventBytes((frame) => Buffer.from(frame)).toString()
    const { params } = JSON.parse(text) as { params: { joined: unknown; left: unknown } }
    for (const client of clientsOf(params.joined)) {
      expect(this.list?.has(client), `${client} joins twice for ${this.clientId}`).toBe(false)
      this.list?.add(client)
      this.story.push(`+${client}`)
    }
    for (const client of clientsOf(params.left)) {
      expect(this.list?.delete(client), `${client} leaves for ${this.clientId}, and was not there`).toBe(true)
      this.story.push(`-${client}`)
    }
  }

  undeliverable(error: unknown): void {
    throw error
  }

  get sees(): string[] | null {
    return this.list === null ? null : [...this.list].sort()
  }
}

function clientsOf(members: unknown): string[] {
  return (members as PresenceMember[]).map(({ client }) => client)
}
