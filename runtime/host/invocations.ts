/**
 * The promise actors that this process runs, by leases that it renews together. One whose lease could not be renewed is aborted
 * before it ends: by then another process may run it. What a promise comes to is committed like an event.
 */
import type { ActorPolicy } from '../../actors/define-session.ts'
import { TroupeError, messageOf } from '../../actors/errors.ts'
import type { Result } from '../../actors/kernel.ts'
import { partitionOf } from '../../actors/partitions.ts'
import type { Run } from '../../actors/plan.ts'
import type { Clock, Logger, SessionStore } from '../../actors/ports.ts'
import { runPromise } from '../../actors/promise-run.ts'
import { ownersIn } from '../../actors/runs.ts'
import { comparePositions } from '../../actors/session.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import { LEASE_MS } from '../../persistence/store-times.ts'
import type { PromiseActor } from '../../actors/stepper.ts'

const RENEW_MS = 5_000
/** After one that failed. */
const RENEW_AGAIN_MS = 1_000
/** Without a renewal for so long a run is given up: a further one might be answered only when the lease is over. */
const GIVE_UP_MS = 11_000
const SETTLE_RETRY_MS = 1_000
const FIRST_BACKOFF_MS = 1_000
const LONGEST_BACKOFF_MS = 3_600_000

export type PromiseToRun = Run & PromiseActor

export interface InvocationsOptions {
  readonly store: SessionStore
  readonly clock: Clock
  readonly log: Logger
  /** Commits what an execution came to. */
  readonly settle: (id: SessionId, run: Run, result: Result) => Promise<void>
}

interface Running {
  readonly effectKey: string
  /** The commit that made it. */
  readonly begunAt: Position
  /** What it came to waits to be committed. */
  isOver: boolean
  abort(): void
}

interface Session {
  readonly runs: Map<number, Running>
  renewedAt: number
}

export class Invocations {
  readonly #options: InvocationsOptions
  readonly #sessions = new Map<SessionId, Session>()
  #timer: { cancel(): void } | null = null
  #isStopped = false

  constructor(options: InvocationsOptions) {
    this.#options = options
  }

  start(): void {
    this.#schedule(RENEW_MS)
  }

  has(id: SessionId): boolean {
    return this.#sessions.has(id)
  }

  isRunning(id: SessionId, key: number): boolean {
    return this.#sessions.get(id)?.runs.has(key) ?? false
  }

  /** A commit of this process has made these. @param at its position */
  begin(
    id: SessionId,
    promises: readonly PromiseToRun[],
    at: Position,
    policies: Readonly<Record<string, ActorPolicy>> = {},
  ): void {
    if (this.#isStopped || promises.length === 0) return
    const { clock } = this.#options
    const session: Session = this.#sessions.get(id) ?? { runs: new Map(), renewedAt: clock.now() }
    this.#sessions.set(id, session)
    for (const promise of promises) {
      // Keys begin anew in each life of an id.
      session.runs.get(promise.key)?.abort()
      const abort = this.#run(id, promise, policies[promise.src] ?? {})
      const { epoch, version } = at
      const begunAt = { epoch, version }
      session.runs.set(promise.key, { effectKey: promise.effectKey, begunAt, isOver: false, abort })
    }
  }

  /** Aborts those of the session that are not among `keys`. @param at which position that is known of; what is newer goes on */
  keep(id: SessionId, keys: ReadonlySet<number>, at?: Position): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    for (const [key, run] of session.runs) {
      if (keys.has(key) || (at !== undefined && comparePositions(run.begunAt, at) > 0)) continue
      session.runs.delete(key)
      run.abort()
    }
    if (session.runs.size === 0) this.#sessions.delete(id)
  }

  /** Aborts all, and ends their leases, so that other processes take over at once. */
  async handOver(): Promise<void> {
    this.#isStopped = true
    this.#timer?.cancel()
    const byPartition = this.#byPartition()
    for (const id of [...this.#sessions.keys()]) this.keep(id, new Set())
    await Promise.all(
      [...byPartition].map(([partition, ids]) => this.#options.store.renew(partition, ids, 0)),
    ).catch((error: unknown) => {
      this.#options.log.debug({ reason: messageOf(error) }, 'leases could not be handed over')
    })
  }

  /** @returns aborts it */
  #run(id: SessionId, promise: PromiseToRun, policy: ActorPolicy): () => void {
    const { clock } = this.#options
    const { attempts = 1, backoffMs = FIRST_BACKOFF_MS, timeoutMs } = policy
    let abort: () => void = () => undefined
    let waiting: { cancel(): void } | null = null
    const execution = { session: id, effectKey: promise.effectKey, attempt: promise.attempt }
    const attempt = (n: number): void => {
      const over = (next: () => void) => (): void => {
        waiting?.cancel()
        next()
      }
      const failed = (error: unknown): void => {
        if (n < attempts)
          waiting = clock.setTimeout(
            () => attempt(n + 1),
            Math.min(backoffMs * 2 ** (n - 1), LONGEST_BACKOFF_MS),
          )
        else void this.#settle(id, promise, { error: describe(error) })
      }
      if (timeoutMs !== undefined) {
        waiting = clock.setTimeout(() => {
          abort()
          failed(new Error(`it took longer than ${timeoutMs} ms`))
        }, timeoutMs)
      }
      abort = runPromise(promise, execution, {
        done: (output) => over(() => void this.#settle(id, promise, { output }))(),
        failed: (error) => over(() => failed(error))(),
      })
    }
    attempt(1)
    return () => {
      waiting?.cancel()
      abort()
    }
  }

  /** Until it is committed or does not count any more; also when the lease is over meanwhile, since the result is there. */
  async #settle(id: SessionId, run: Run, result: Result): Promise<void> {
    const { settle, clock, log } = this.#options
    const running = (): Running | undefined => {
      const one = this.#sessions.get(id)?.runs.get(run.key)
      return one?.effectKey === run.effectKey ? one : undefined
    }
    const settled = running()
    if (settled !== undefined) settled.isOver = true
    while (!this.#isStopped) {
      try {
        await settle(id, run, result)
        break
      } catch (error) {
        log.warn({ id, reason: messageOf(error) }, 'the result of a promise actor could not be committed yet')
        if (error instanceof TroupeError && !error.retryable) break
        await new Promise<void>((resolve) => void clock.setTimeout(resolve, SETTLE_RETRY_MS))
      }
    }
    if (running() !== undefined) this.#forget(id, run.key)
  }

  #forget(id: SessionId, key: number): void {
    const session = this.#sessions.get(id)
    session?.runs.delete(key)
    if (session?.runs.size === 0) this.#sessions.delete(id)
  }

  #schedule(ms: number): void {
    if (this.#isStopped) return
    this.#timer = this.#options.clock.setTimeout(() => void this.#renew(), ms)
  }

  async #renew(): Promise<void> {
    const { store, clock, log } = this.#options
    let hasFailed = false
    await Promise.all(
      [...this.#byPartition()].map(async ([partition, ids]) => {
        const askedAt = clock.now()
        try {
          const lost = new Set(await store.renew(partition, ids, LEASE_MS))
          for (const id of ids) {
            const session = this.#sessions.get(id)
            if (lost.has(id)) this.keep(id, new Set())
            else if (session !== undefined) session.renewedAt = askedAt
          }
          await Promise.all(ids.map((id) => this.#keepWhatRemains(id)))
        } catch (error) {
          hasFailed = true
          log.debug({ partition, reason: messageOf(error) }, 'leases could not be renewed')
        }
      }),
    )
    for (const [id, { renewedAt, runs }] of [...this.#sessions]) {
      if (clock.now() - renewedAt < GIVE_UP_MS) continue
      const over = [...runs].filter(([, { isOver }]) => isOver).map(([key]) => key)
      if (over.length === runs.size) continue
      log.warn({ id }, 'a promise actor is given up: its lease could not be renewed')
      this.keep(id, new Set(over))
    }
    this.#schedule(hasFailed ? RENEW_AGAIN_MS : RENEW_MS)
  }

  /** The lease is the session's: of several promises some may have been ended by a commit of another process. */
  async #keepWhatRemains(id: SessionId): Promise<void> {
    const { store } = this.#options
    if ((this.#sessions.get(id)?.runs.size ?? 0) < 2) return
    const record = await store.read(id)
    // One that is gone has no lease at the next renewal.
    if (record === null) return
    const remaining = ownersIn(record.runs).flatMap(({ key, node }) => (node === store.node ? [key] : []))
    this.keep(id, new Set(remaining), record)
  }

  #byPartition(): Map<number, SessionId[]> {
    const partitions = new Map<number, SessionId[]>()
    for (const id of this.#sessions.keys()) {
      const partition = partitionOf(id)
      const ids = partitions.get(partition)
      if (ids === undefined) partitions.set(partition, [id])
      else ids.push(id)
    }
    return partitions
  }
}

function describe(thrown: unknown): { name: string; message: string } {
  return thrown instanceof Error
    ? { name: thrown.name, message: thrown.message }
    : { name: 'Error', message: String(thrown) }
}
