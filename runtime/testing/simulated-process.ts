/** One process of a test: the parts of a real one, over a store in memory, in virtual time. It can die at any instant. */
import { TroupeError } from '../../actors/errors.ts'
import type { Due, Logger } from '../../actors/ports.ts'
import type { Registry } from '../../actors/registry.ts'
import { MemoryFeed } from '../../persistence/memory-feed.ts'
import type { MemoryServer } from '../../persistence/memory-server.ts'
import { MemorySessionStore } from '../../persistence/memory-session-store.ts'
import { Serving } from '../serving.ts'
import type { ServingLimits } from '../serving.ts'
import type { Clockwork } from '../host/clockwork.ts'
import { ALL_TOLD_MS } from '../host/versions.ts'
import { SessionApi } from '../session-api.ts'
import { FaultyStore } from './faulty-store.ts'
import type { Faults } from './faults.ts'
import { ProcessClock } from './virtual-time.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface SimulatedProcessOptions {
  readonly node: string
  readonly server: MemoryServer
  readonly time: VirtualTime
  readonly faults: Faults
  readonly registry: Registry
  readonly log: Logger
  /** Whether it only looks on. */
  readonly observes: boolean
  readonly limits: ServingLimits & { readonly commandKeyTtlMs: number }
}

export class SimulatedProcess extends SessionApi {
  readonly node: string
  readonly serving: Serving
  /** Rejects for whoever waits for an answer of this process when it dies. */
  readonly death: Promise<never>
  readonly #observes: boolean
  readonly #time: VirtualTime
  readonly #clock: ProcessClock
  readonly #store: FaultyStore
  readonly #feed: MemoryFeed
  readonly #die: (error: Error) => void
  #isAlive = true

  constructor({ node, server, time, faults, registry, log, limits, observes }: SimulatedProcessOptions) {
    super()
    this.node = node
    this.#observes = observes
    this.#time = time
    const { promise, reject } = withRejection()
    this.death = promise
    this.#die = reject
    this.#clock = new ProcessClock(time)
    this.#feed = new MemoryFeed(server)
    this.#store = new FaultyStore({
      store: new MemorySessionStore({ server, node, commandKeyTtlMs: limits.commandKeyTtlMs }),
      faults,
      crash: () => this.crash(),
      onWork: () => time.noteWork(),
      announces: !observes,
    })
    this.serving = new Serving({
      store: this.#store,
      feed: this.#feed,
      registry,
      clock: this.#clock,
      log,
      limits,
      onCommitted: () => undefined,
      firstPartition: 0,
    })
  }

  async start(): Promise<void> {
    await this.serving.start()
    if (!this.#observes) this.serving.clockwork.start()
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  whyWaiting(due: Due): ReturnType<Clockwork['whyWaiting']> {
    return this.serving.clockwork.whyWaiting(due)
  }

  /** Nothing that it would do has any effect from now on; user code that runs in it cannot be stopped. */
  crash(): void {
    if (!this.#isAlive) return
    this.#isAlive = false
    this.#time.noteChange(ALL_TOLD_MS)
    this.#store.die()
    this.#clock.stop()
    this.#feed.stop()
    this.#die(
      new TroupeError(
        'timeout',
        `process ${this.node} crashed before it answered: what became of the call is not known; ask again with the same key`,
        { details: { outcome: 'unknown' } },
      ),
    )
  }

  /** Leaves in order: its promise actors are aborted. */
  async stop(): Promise<void> {
    if (!this.#isAlive) return
    this.serving.clockwork.stop()
    await this.serving.host.drain(0)
    this.serving.fanOut.stop()
    this.#feed.stop()
    this.#clock.stop()
    this.#isAlive = false
  }
}

function withRejection(): { promise: Promise<never>; reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => undefined
  const promise = new Promise<never>((_, rejected) => (reject = rejected))
  // It may be that nobody waits.
  promise.catch(() => undefined)
  return { promise, reject }
}
