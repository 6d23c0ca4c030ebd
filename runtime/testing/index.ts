/** The package `troupe/testing`: sessions in virtual time, without Redis, and what may go wrong at each commit. */
import type { EventOf, SessionDefinition, SessionIdOf } from '../../actors/define-session.ts'
import { TroupeError, messageOf } from '../../actors/errors.ts'
import { PARTITIONS } from '../../actors/partitions.ts'
import type { Due, Logger } from '../../actors/ports.ts'
import { Registry } from '../../actors/registry.ts'
import { MemoryServer } from '../../persistence/memory-server.ts'
import { MAIL_WAITS_MS } from '../../persistence/store-times.ts'
import type { SessionNotice } from '../notices.ts'
import { completeOptions } from '../options.ts'
import type { Options } from '../options.ts'
import type { CreateOptions, Session, UpdateOptions } from '../sessions.ts'
import type { Until } from '../../transport/feed/wait-for.ts'
import { Faults } from './faults.ts'
import { VirtualClock } from './virtual-clock.ts'
import { VirtualProcess } from './virtual-process.ts'

export type { Faults, FaultPoint, PendingFault } from './faults.ts'

/** Turns of the event loop without a call of the store, after which nothing goes on any more. */
const QUIET_TURNS = 8
/** What cannot be done now is tried again after this. */
const RETRY_MS = 1000
/** Of what is due at the same time. */
const MAX_STEPS = 10_000
/** A call that needs time to pass (a lost reply, others at the same session) has at most so much of it. */
const PATIENCE_MS = 120_000

export interface TestKitConfig extends Partial<
  Pick<Options, 'sessionTtlMs' | 'commandKeyTtlMs' | 'maxSessionBytes' | 'maxEventBytes' | 'warmSessions'>
> {
  readonly definitions: readonly SessionDefinition[]
  /** How many processes share the sessions. Default 2. */
  readonly processes?: number
  /** What the clock of the sessions shows at first. Default: 2030-01-01, UTC. */
  readonly start?: Date
  /** Default: nothing is logged. */
  readonly logger?: Logger
}

/** A committed transition. */
export interface HistoryEntry {
  readonly version: number
  /** `created`, `event`, `timer`, `result`, `takeover`, `mail`, `migrated`, `deleted`, `expired`, … as in the audit. */
  readonly kind: string
  /** The event that it was; absent for a creation and an end. */
  readonly event?: { readonly type: string; readonly [member: string]: unknown }
  /** The state value after it; absent for an end. */
  readonly value?: unknown
  /** ms since 1970. */
  readonly time: number
}

/**
 * Starts sessions in memory, on processes whose time passes when the test says so.
 * @throws Error that says what is wrong with a definition or an option
 * @example
 * const kit = await createTestKit({ definitions: [order] })
 * const { id } = await kit.createSession(order)
 * await kit.advance(60_000)
 */
export async function createTestKit(config: TestKitConfig): Promise<TestKit> {
  const kit = new TestKit(config)
  await kit.start()
  return kit
}

const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

export class TestKit {
  /** What is to go wrong. */
  readonly faults = new Faults()
  readonly #clock = new VirtualClock()
  readonly #startMs: number
  readonly #server: MemoryServer
  readonly #registry: Registry
  readonly #log: Logger
  readonly #options: Options
  readonly #processCount: number
  readonly #retryAt = new Map<string, number>()
  #processes: VirtualProcess[] = []
  #started = 0
  #turn = 0
  #mailAtMs = Infinity
  #isClosed = false
  /** Ends the calls to a process that dies. */
  readonly #lost = new Map<VirtualProcess, Set<(error: unknown) => void>>()

  /** Use {@link createTestKit}. */
  constructor({ definitions, processes = 2, start, logger = silent, ...given }: TestKitConfig) {
    if (!Number.isSafeInteger(processes) || processes < 1 || processes > 16)
      throw new Error('processes must be a whole number from 1 to 16')
    this.#startMs = start?.getTime() ?? Date.UTC(2030, 0, 1)
    if (!Number.isSafeInteger(this.#startMs)) throw new Error('start must be a valid Date')
    this.#options = completeOptions(given)
    this.#log = logger
    this.#processCount = processes
    this.#server = new MemoryServer(() => this.now.getTime())
    this.#registry = new Registry((details, message) => logger.info(details, message))
    definitions.forEach((definition, index) => {
      try {
        this.#registry.register(definition)
      } catch (error) {
        throw new Error(`definitions[${index}]: ${messageOf(error)}`, { cause: error })
      }
    })
  }

  /** Called by {@link createTestKit}. */
  async start(): Promise<void> {
    while (this.#processes.length < this.#processCount) await this.#startProcess()
  }

  /** What the clock of the sessions shows. */
  get now(): Date {
    return new Date(this.#startMs + this.#clock.now())
  }

  /** See `Runtime.createSession`. */
  createSession<D extends SessionDefinition>(
    definition: D | string,
    options: CreateOptions<D> = {},
  ): Promise<Session<D> & { readonly created: boolean }> {
    return this.#call((process) => process.createSession(definition, options))
  }

  /** See `Runtime.getSession`. */
  getSession<D = unknown>(id: SessionIdOf<D> | string): Promise<Session<D> | null> {
    return this.#call((process) => process.getSession<D>(id))
  }

  /** See `Runtime.updateSession`. Each call goes to the next process in turn. */
  async updateSession<D = unknown>(
    id: SessionIdOf<D> | string,
    event: EventOf<D>,
    options: UpdateOptions = {},
  ): ReturnType<typeof VirtualProcess.prototype.updateSession<D>> {
    const update = (more: UpdateOptions) =>
      this.#call((process) => process.updateSession<D>(id, event, { ...options, ...more }))
    if (this.faults.take(id, ['duplicateEvent']) === null) return update({})
    const key = options.key ?? `duplicate-${++this.#turn}`
    const [first] = await Promise.all([update({ key }), update({ key })])
    return first
  }

  /** See `Runtime.deleteSession`. */
  deleteSession(id: string): Promise<boolean> {
    return this.#call((process) => process.deleteSession(id))
  }

  /** See `Runtime.broadcastToSession`. */
  broadcastToSession(id: string, message: unknown): Promise<void> {
    return this.#call((process) => process.broadcastToSession(id, message))
  }

  /** See `Runtime.subscribe`. It ends silently with the process that serves it, as a connection does. */
  subscribe<D = unknown>(
    id: SessionIdOf<D> | string,
    callback: (notice: SessionNotice<Session<D>>) => void,
  ): Promise<() => void> {
    return this.#call((process) => process.subscribe<D>(id, callback))
  }

  /** See `Runtime.waitFor`; its timeout is of the virtual time. */
  waitFor<D = unknown>(
    id: SessionIdOf<D> | string,
    until: Until,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<Session<D>> {
    const process = this.#nextProcess()
    return this.#withLife(process, process.waitFor<D>(id, until, options))
  }

  /**
   * Lets time pass: timers fire, sessions expire, promise actors of dead processes are taken over, each at its time. After each of
   * these it waits until nothing goes on any more; for promises of user code that wait for real time or real servers it does not.
   * @param ms whole milliseconds, 0: just what is due now
   */
  async advance(ms: number): Promise<void> {
    this.#checkOpen()
    if (!Number.isSafeInteger(ms) || ms < 0)
      throw new Error(`advance: ${String(ms)} is no whole number of milliseconds, 0 or more`)
    const endMs = this.#clock.now() + ms
    for (let steps = 0, atMs = -1; ; steps++) {
      await this.#quiet()
      if (atMs !== this.#clock.now()) steps = 0
      atMs = this.#clock.now()
      if (steps > MAX_STEPS)
        throw new Error(`more than ${MAX_STEPS} steps were due at one time: a machine never comes to rest`)
      const nextMs = Math.max(
        this.#clock.now(),
        Math.min(this.#clock.nextMs, this.#nextDueMs(), this.#mailAtMs),
      )
      if (nextMs > endMs) break
      this.#clock.moveTo(nextMs)
      await this.#bringAbout()
    }
    this.#clock.moveTo(endMs)
  }

  /** All transitions of a session that were committed, also of earlier lives of its id. */
  history(id: string): HistoryEntry[] {
    return this.#server.outbox
      .filter((row) => row.id === id)
      .map(({ version, kind, audit, state, time }) => {
        const { event } = JSON.parse(audit) as Pick<HistoryEntry, 'event'>
        const after = state === '' ? {} : { value: (JSON.parse(state) as { value: unknown }).value }
        return { version, kind, ...(event === undefined ? {} : { event }), ...after, time }
      })
  }

  /** One process dies on the spot, and another one is started. What it ran is taken over when its leases are over: after 15 s. */
  async crash(): Promise<void> {
    this.#checkOpen()
    this.#processes[0]?.kill()
    await this.#quiet()
  }

  /** Ends all processes. @throws Error if a fault that was asked for has not happened: the test has not tested it */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await Promise.all(this.#processes.map((process) => process.close()))
    const [missed] = this.faults.pending
    if (missed !== undefined)
      throw new Error(
        `the fault ${missed.point} of session "${missed.id}" was asked for and has not happened`,
      )
  }

  // ── how it is done ─────────────────────────────────────────────────────────────────────────────────────────────

  async #startProcess(): Promise<void> {
    const process: VirtualProcess = new VirtualProcess({
      node: `process${++this.#started}`,
      server: this.#server,
      registry: this.#registry,
      clock: this.#clock,
      log: this.#log,
      faults: this.faults,
      options: this.#options,
      onCrash: () => this.#died(process),
    })
    this.#processes.push(process)
    this.#lost.set(process, new Set())
    await process.start()
  }

  #died(process: VirtualProcess): void {
    this.#processes = this.#processes.filter((each) => each !== process)
    const error = new TroupeError('timeout', 'the process died before it answered', {
      details: { outcome: 'unknown' },
    })
    for (const reject of this.#lost.get(process) ?? []) reject(error)
    this.#lost.delete(process)
    if (!this.#isClosed) void this.#startProcess()
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Error('the test kit is closed')
  }

  #nextProcess(): VirtualProcess {
    this.#checkOpen()
    const process = this.#processes[this.#turn++ % this.#processes.length]
    if (process === undefined) throw new Error('no process runs')
    return process
  }

  /** The result, or an error if the process dies before. */
  #withLife<T>(process: VirtualProcess, result: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const calls = this.#lost.get(process)
      calls?.add(reject)
      result.then(resolve, reject).finally(() => calls?.delete(reject))
    })
  }

  /** Asks the next process; if the answer needs time, time passes. */
  async #call<T>(act: (process: VirtualProcess) => Promise<T>): Promise<T> {
    const process = this.#nextProcess()
    const outcome: { settled: boolean } = { settled: false }
    const result = this.#withLife(process, act(process)).finally(() => (outcome.settled = true))
    result.catch(() => undefined)
    const untilMs = this.#clock.now() + PATIENCE_MS
    for (;;) {
      await this.#quiet()
      if (outcome.settled || this.#clock.nextMs > untilMs) return result
      this.#clock.moveTo(this.#clock.nextMs)
    }
  }

  /** Resolves once no process has asked the store for anything for a while. */
  async #quiet(): Promise<void> {
    let before = -1
    for (let turns = 0; turns < QUIET_TURNS; turns++) {
      await new Promise((resolve) => setImmediate(resolve))
      const calls = this.#processes.reduce((sum, process) => sum + process.calls, this.#started)
      if (calls !== before) turns = 0
      before = calls
    }
    if (!this.#server.hasMail) this.#mailAtMs = Infinity
    else if (this.#mailAtMs === Infinity) this.#mailAtMs = this.#clock.now() + MAIL_WAITS_MS
  }

  #nextDueMs(): number {
    let next = Infinity
    for (const due of this.#server.dues()) next = Math.min(next, this.#dueAt(due))
    return next
  }

  /** By the virtual clock. */
  #dueAt(due: Due): number {
    return Math.max(due.dueMs - this.#startMs, this.#retryAt.get(keyOf(due)) ?? 0)
  }

  /** What the sweep of a process would find. */
  async #bringAbout(): Promise<void> {
    const nowMs = this.#clock.now()
    if (this.#mailAtMs <= nowMs) {
      this.#mailAtMs = Infinity
      const { host } = this.#nextProcess()
      for (let partition = 0; partition < PARTITIONS; partition++) host.deliver(partition)
      await this.#quiet()
    }
    const found = [...this.#server.dues()].filter((due) => this.#dueAt(due) <= nowMs)
    for (const due of found.sort((a, b) => a.dueMs - b.dueMs)) {
      this.#retryAt.set(keyOf(due), nowMs + RETRY_MS)
      const { host } = this.#nextProcess()
      // A lease that is over and stays is of a process that went on, or of a session that is gone.
      const done = (): void => {
        if (due.kind !== 'lease') this.#retryAt.delete(keyOf(due))
      }
      const failed = (error: unknown): void =>
        this.#log.warn(
          { id: due.id, kind: due.kind, reason: messageOf(error) },
          'what is due could not be done',
        )
      if (due.kind === 'lease') host.takeOver(due.id, due.node).then(done, failed)
      else if (due.kind === 'timer') host.fire(due.id).then(done, failed)
      else host.expire(due.id).then(done, failed)
      await this.#quiet()
    }
  }
}

function keyOf(due: Due): string {
  if (due.kind !== 'lease') return `${due.kind} ${due.id}`
  return `lease ${due.id} ${due.node} ${due.dueMs}`
}
