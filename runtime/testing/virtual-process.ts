/** A process of the kit: the actors of a real one, over a store in memory. It can die. */
import type { Clock, Logger, SessionStore, StoreEntry, StoreOutcome } from '../../actors/ports.ts'
import { StoreFailure } from '../../actors/ports.ts'
import type { Registry } from '../../actors/registry.ts'
import { MemoryFeed } from '../../persistence/memory-feed.ts'
import type { MemoryServer } from '../../persistence/memory-server.ts'
import { MemorySessionStore } from '../../persistence/memory-session-store.ts'
import { FanOut } from '../../transport/feed/fan-out.ts'
import { SessionHost } from '../host/session-host.ts'
import type { Options } from '../options.ts'
import { Sessions } from '../sessions.ts'
import type { FaultPoint, Faults } from './faults.ts'
import { ProcessClock } from './virtual-clock.ts'

const AT_COMMIT: readonly FaultPoint[] = [
  'crashBeforeCommit',
  'crashAfterCommit',
  'loseReply',
  'duplicateCommit',
]
/** The feed in memory loses nothing. */
const NEVER_MS = 2 ** 40

export interface VirtualProcessOptions {
  readonly node: string
  readonly server: MemoryServer
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Logger
  readonly faults: Faults
  readonly options: Options
  readonly onCrash: () => void
}

export class VirtualProcess extends Sessions {
  readonly node: string
  readonly host: SessionHost
  protected readonly fanOut: FanOut
  protected readonly clock: ProcessClock
  protected readonly log: Logger
  readonly #options: VirtualProcessOptions
  readonly #store: MemorySessionStore
  readonly #feed: MemoryFeed
  #isDead = false
  /** How often it has asked the store for something. */
  calls = 0

  constructor(options: VirtualProcessOptions) {
    super()
    const { node, server, registry, log } = options
    const { commandKeyTtlMs, warmSessions, sessionTtlMs, maxSessionBytes, maxEventBytes } = options.options
    this.node = node
    this.log = log
    this.#options = options
    this.clock = new ProcessClock(options.clock)
    this.#store = new MemorySessionStore({ server, node, commandKeyTtlMs })
    this.#feed = new MemoryFeed(server)
    const store = this.#mortalStore()
    const { clock } = this
    this.fanOut = new FanOut({
      feed: this.#feed,
      node,
      clock,
      logger: log,
      compareEveryMs: NEVER_MS,
      read: (id) => store.read(id),
      positions: (ids) => store.positions(ids),
      encodeView: (record, principal) => this.host.encodeView(record, principal),
      viewGroup: (record, principal) => this.host.viewGroup(record, principal),
    })
    const nothing = (): void => undefined
    this.host = new SessionHost({
      store,
      registry,
      sink: this.fanOut,
      clock,
      log,
      warmSessions,
      sessionTtlMs,
      maxSessionBytes,
      maxEventBytes,
      onCommitted: nothing,
      onTimers: nothing,
      onUnknown: nothing,
    })
  }

  async start(): Promise<void> {
    this.fanOut.start()
    const hear = this.#feed.onMessage
    this.#feed.onMessage = (message) => {
      if (message.kind === 'updated') this.host.observe(message.record)
      else if (message.kind === 'ended') this.host.ended(message.id)
      hear(message)
    }
    await this.host.start()
  }

  /** Dies on the spot: what it does from now on reaches nobody. */
  kill(): void {
    if (this.#isDead) return
    this.#isDead = true
    this.clock.stop()
    this.#feed.stop()
    this.#options.onCrash()
  }

  async close(): Promise<void> {
    await this.host.drain(0)
    this.fanOut.stop()
    this.kill()
  }

  /** The store, as long as the process lives. */
  #mortalStore(): SessionStore {
    const store = this.#store
    const alive = <T>(act: () => Promise<T>): Promise<T> => {
      this.calls++
      return this.#isDead ? silence() : act().then((result) => (this.#isDead ? silence<T>() : result))
    }
    return {
      node: store.node,
      execute: (entries) => alive(() => this.#execute(entries)),
      read: (id) => alive(() => store.read(id)),
      positions: (ids) => alive(() => store.positions(ids)),
      broadcast: (id, message) => alive(() => store.broadcast(id, message)),
      look: (partition, horizonMs, limit) => alive(() => store.look(partition, horizonMs, limit)),
      mail: (partition, afterId, limit) => alive(() => store.mail(partition, afterId, limit)),
      deleteMail: (partition, entries) => alive(() => store.deleteMail(partition, entries)),
      renew: (partition, ids, leaseMs) => alive(() => store.renew(partition, ids, leaseMs)),
      announce: (served) => alive(() => store.announce(served)),
      now: () => store.now(),
    }
  }

  async #execute(entries: readonly StoreEntry[]): Promise<StoreOutcome[]> {
    const written = entries.filter(({ kind }) => kind !== 'check')
    const points = written.map(({ id }) => this.#options.faults.take(id, AT_COMMIT))
    if (points.includes('crashBeforeCommit')) {
      this.kill()
      return silence()
    }
    const outcomes = await this.#store.execute(entries)
    if (points.includes('crashAfterCommit')) {
      this.kill()
      return silence()
    }
    if (points.includes('loseReply'))
      throw new StoreFailure('unknown', 'the reply was lost, as the test wants it')
    return points.includes('duplicateCommit') ? this.#store.execute(entries) : outcomes
  }
}

/** Nobody is there any more to go on. */
function silence<T>(): Promise<T> {
  return new Promise<T>(() => undefined)
}
