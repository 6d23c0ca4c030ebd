/**
 * Which promise actors of a session this process runs, as its commits and those of others have it. One that the record gives to this
 * process and that does not run here takes a commit before it runs again, so that no two executions are the same.
 */
import { TroupeError, messageOf } from '../../actors/errors.ts'
import type { Live } from '../../actors/plan.ts'
import { ownersIn } from '../../actors/runs.ts'
import type { Position, SessionId, SessionRecord } from '../../actors/session.ts'
import { sleep } from '../clock.ts'
import type { HostParts } from './host-parts.ts'
import type { ComputeStep } from './internal-turn.ts'
import { Invocations } from './invocations.ts'
import { restartStep, resultStep, takeoverStep } from './promise-turns.ts'

const RETRY_MS = 1000

export class PromiseActors {
  readonly #parts: HostParts
  readonly #takeTurn: (id: SessionId, compute: ComputeStep) => Promise<unknown>
  readonly #invocations: Invocations
  /** Keys of those that a turn is to bring to run, by session. */
  readonly #awaited = new Map<SessionId, Set<number>>()
  #isStopped = false

  /** @param takeTurn has the session's mailbox take a turn of its own */
  constructor(parts: HostParts, takeTurn: (id: SessionId, compute: ComputeStep) => Promise<unknown>) {
    this.#parts = parts
    this.#takeTurn = takeTurn
    const { store, clock, log } = parts
    this.#invocations = new Invocations({
      store,
      clock,
      log,
      settle: async (id, run, result) => void (await takeTurn(id, resultStep(parts, run, result))),
    })
    this.#invocations.start()
  }

  /**
   * After a commit of this process: aborts what it has ended, starts what it has made. Others that the record gives to this process
   * run, or were given up: then they are taken over here, since the lease of those that run keeps all others from it.
   * @param before who ran what before the commit
   * @param isNewest nobody can have committed since
   */
  sync(record: SessionRecord, live: Live | null, before: string, isNewest: boolean): void {
    const { id, runs } = record
    if (runs === '-' && !this.#invocations.has(id)) return
    const { versions, store } = this.#parts
    const keys = this.#ownKeys(runs)
    this.#invocations.keep(id, keys, record)
    const known = this.#ownKeys(before)
    const idle = [...keys].filter((key) => !this.#isLookedAfter(id, key))
    const stranded = idle.filter((key) => known.has(key))
    if (stranded.length > 0) {
      const isOther = (key: number): boolean =>
        !stranded.includes(key) || this.#invocations.isRunning(id, key)
      void this.#bringToRun(id, stranded, takeoverStep(this.#parts, store.node, isOther))
    }
    const made = [...keys].filter((key) => !known.has(key))
    if (made.length === 0) return
    const kernel = versions.kernelOf(record)
    const promises = kernel.promisesOf(live ?? kernel.restore(record)).filter(({ key }) => made.includes(key))
    if (isNewest) this.#invocations.begin(id, promises, record, kernel.definition.actors)
    // The reply of the commit was lost, and the session may have gone on since: another one tells whether they are still wanted.
    else {
      const isRunning = (key: number): boolean => this.#invocations.isRunning(id, key)
      void this.#bringToRun(id, made, restartStep(this.#parts, promises, isRunning))
    }
  }

  /** Another process has committed. */
  observe(record: SessionRecord): void {
    if (this.#invocations.has(record.id))
      this.#invocations.keep(record.id, this.#ownKeys(record.runs), record)
  }

  /** The session has ended at this position, here or elsewhere. */
  ended(id: SessionId, at: Position): void {
    this.#invocations.keep(id, new Set(), at)
  }

  /** Takes over those of a session that `node` ran and runs no more. @throws TroupeError */
  async takeOver(id: SessionId, node: string): Promise<void> {
    await this.#takeTurn(
      id,
      takeoverStep(this.#parts, node, (key) => this.#isLookedAfter(id, key)),
    )
  }

  /** Starts no more. */
  stop(): void {
    this.#isStopped = true
  }

  /** Aborts all, and ends their leases, so that other processes take over at once. */
  handOver(): Promise<void> {
    return this.#invocations.handOver()
  }

  #isLookedAfter(id: SessionId, key: number): boolean {
    return this.#invocations.isRunning(id, key) || (this.#awaited.get(id)?.has(key) ?? false)
  }

  #ownKeys(runs: string): Set<number> {
    const { node } = this.#parts.store
    return new Set(ownersIn(runs).flatMap((each) => (each.node === node ? [each.key] : [])))
  }

  /** By a commit, which is tried until it is made, is not wanted any more, or is refused for good: then the sweep has it. */
  async #bringToRun(id: SessionId, keys: readonly number[], compute: ComputeStep): Promise<void> {
    const { clock, log } = this.#parts
    const awaited = this.#awaited.get(id) ?? new Set()
    this.#awaited.set(id, awaited)
    for (const key of keys) awaited.add(key)
    for (let isOver = false; !isOver && !this.#isStopped;) {
      try {
        await this.#takeTurn(id, compute)
        isOver = true
      } catch (error) {
        log.warn({ id, reason: messageOf(error) }, 'promise actors could not be started yet')
        isOver = error instanceof TroupeError && !error.retryable
        if (!isOver) await sleep(clock, RETRY_MS)
      }
    }
    for (const key of keys) awaited.delete(key)
    if (awaited.size === 0 && this.#awaited.get(id) === awaited) this.#awaited.delete(id)
  }
}
