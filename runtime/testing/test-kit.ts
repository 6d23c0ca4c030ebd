/** Some simulated processes that share a store in memory, and the hands of the test: time, faults, history. */
import type { EventOf, SessionDefinition, SessionIdOf } from '../../actors/define-session.ts'
import { TroupeError } from '../../actors/errors.ts'
import type { Logger } from '../../actors/ports.ts'
import type { Registry } from '../../actors/registry.ts'
import type { Until } from '../../actors/until.ts'
import { MemoryServer } from '../../persistence/memory-server.ts'
import { registerAll } from '../definitions/register-all.ts'
import { createLogger } from '../logging.ts'
import { ALL_TOLD_MS } from '../host/versions.ts'
import type { SessionNotice } from '../notices.ts'
import { completeOptions } from '../options.ts'
import type { Options } from '../options.ts'
import { asId, waitForSession } from '../session-api.ts'
import type { CreateOptions, Session, UpdatedSession, UpdateOptions } from '../session-api.ts'
import { systemClock } from '../clock.ts'
import { Faults } from './faults.ts'
import type { FaultPoints } from './faults.ts'
import { transitionOf } from './history.ts'
import type { Transition } from './history.ts'
import { SimulatedProcess } from './simulated-process.ts'
import { TimeKeeper } from './time-keeper.ts'
import { VirtualTime } from './virtual-time.ts'

/** Options of the runtime that make a difference to a definition. */
type Limits = Pick<
  Options,
  'sessionTtlMs' | 'commandKeyTtlMs' | 'warmSessions' | 'maxSessionBytes' | 'maxEventBytes'
>

export interface TestKitConfig extends Partial<Limits> {
  readonly definitions: readonly SessionDefinition[]
  /** How many processes serve the sessions; default 2, so that one may crash. */
  readonly processes?: number
  /** What time it is when the test begins; default 2026-01-01T00:00:00Z. */
  readonly start?: Date
  /** Default: errors, as JSON lines on standard error. */
  readonly logger?: Logger
}

/** Sessions in virtual time on simulated processes, and what can go wrong with them. Made by `createTestKit`. */
export class TestKit {
  /** Fault points, see {@link Faults}. */
  readonly faults: FaultPoints
  readonly #faults: Faults
  readonly #time: VirtualTime
  readonly #server: MemoryServer
  readonly #keeper: TimeKeeper
  readonly #log: Logger
  readonly #newProcess: (node: string, registry: Registry) => SimulatedProcess
  readonly #processes: SimulatedProcess[] = []
  readonly #processCount: number
  #definitions: readonly SessionDefinition[]
  /** Serves nothing and never crashes: through it the test looks on. It knows all definitions that any process ever had. */
  readonly #observer: SimulatedProcess
  readonly #everServed: Registry
  #duplicates = 0
  #isClosed = false

  /** Use {@link createTestKit}. */
  constructor({
    definitions,
    processes = 2,
    start = new Date('2026-01-01T00:00:00Z'),
    logger,
    ...given
  }: TestKitConfig) {
    if (!Number.isSafeInteger(processes) || processes < 1 || processes > 16)
      throw new TroupeError('invalid_params', 'processes: must be a whole number from 1 to 16')
    if (Number.isNaN(start.getTime())) throw new TroupeError('invalid_params', 'start: is not a valid date')
    const limits = completeOptions(given)
    const log = logger ?? createLogger('error', 'test')
    this.#log = log
    this.#definitions = definitions
    this.#processCount = processes
    this.#time = new VirtualTime(start)
    this.#server = new MemoryServer(() => Math.floor(this.#time.nowMs))
    this.#keeper = new TimeKeeper(this.#time, this.#server, () => this.#living())
    this.#faults = new Faults({ asId, crash: () => this.#serving().crash() })
    const faults = this.#faults
    this.faults = faults
    this.#newProcess = (node, registry) =>
      new SimulatedProcess({
        node,
        server: this.#server,
        time: this.#time,
        faults,
        registry,
        observes: registry === this.#everServed,
        log,
        limits,
      })
    this.#everServed = registerAll(definitions, log)
    this.#observer = this.#newProcess('observer', this.#everServed)
  }

  /** Called by {@link createTestKit}. */
  async start(): Promise<void> {
    await this.#observer.start()
    await this.#startProcesses(this.#processCount, this.#definitions)
  }

  /** Virtual time. */
  now(): Date {
    return new Date(this.#server.now())
  }

  /**
   * Lets virtual time pass: timers, expiries, retries and takeovers that are due by then are done, each at its time, in the same
   * order in every run. After each it waits until no process has anything left to do but to wait; real time that promise actors
   * wait for (input and output, timers of their own) does not pass.
   *
   * @param ms whole milliseconds; 0: does what is due now
   */
  async advance(ms: number): Promise<void> {
    this.#checkOpen()
    if (!Number.isSafeInteger(ms) || ms < 0)
      throw new TroupeError('invalid_params', `advance: ${ms} is not a whole number of ms from 0 on`)
    await this.#keeper.advance(ms)
  }

  /** As of the runtime. Lets virtual time pass only if it cannot be answered otherwise. @throws TroupeError */
  createSession<D extends SessionDefinition>(
    definition: D | string,
    options: CreateOptions<D> = {},
  ): Promise<Session<D> & { readonly created: boolean }> {
    return this.#served((process) => process.createSession(definition, options))
  }

  /**
   * As of the runtime. What the event brings about at once (promise actors that need no real time, mail) is done when it resolves.
   * @throws TroupeError; `timeout` with `outcome: "unknown"` if the process that served it crashed
   */
  updateSession<D = unknown>(
    id: SessionIdOf<D> | string,
    event: EventOf<D>,
    options: UpdateOptions = {},
  ): Promise<UpdatedSession<D>> {
    if (!this.#faults.take('duplicateEvent', id))
      return this.#served((process) => process.updateSession<D>(id, event, options))
    const key = options.key ?? `duplicate-${++this.#duplicates}`
    const send = (process: SimulatedProcess): Promise<UpdatedSession<D>> =>
      process.updateSession<D>(id, event, { ...options, key })
    return this.#served((process) => {
      const other = this.#living().find((each) => each !== process) ?? process
      const [first, second] = [send(process), send(other)]
      return Promise.allSettled([first, Promise.race([second, other.death])]).then(() => first)
    })
  }

  /** As of the runtime. @throws TroupeError */
  deleteSession(id: string): Promise<boolean> {
    return this.#served((process) => process.deleteSession(id))
  }

  /** As of the runtime. @throws TroupeError */
  broadcastToSession(id: string, message: unknown): Promise<void> {
    return this.#served((process) => process.broadcastToSession(id, message))
  }

  /** The session as it is now; `null`: there is none. */
  getSession<D = unknown>(id: SessionIdOf<D> | string): Promise<Session<D> | null> {
    return this.#observed((observer) => (this.#living()[0] ?? observer).getSession<D>(id))
  }

  /** As of the runtime; goes on when a process crashes. @throws TroupeError `not_found` */
  subscribe<D = unknown>(
    id: SessionIdOf<D> | string,
    callback: (notice: SessionNotice<Session<D>>) => void,
  ): Promise<() => void> {
    return this.#observed((observer) => observer.subscribe<D>(id, callback))
  }

  /** As of the runtime; goes on when a process crashes. */
  onUpdate(callback: (notice: SessionNotice<Session>) => void): Promise<() => void> {
    return this.#observed((observer) => observer.onUpdate(callback))
  }

  /**
   * Resolves once the session is done, has a tag, or is in a state. It waits in real time, for promise actors that need some, and lets
   * no virtual time pass: that is for {@link TestKit.advance}.
   *
   * @param options `timeoutMs`: in real time; default 1000
   * @throws TroupeError `timeout`, `not_found`, `session_ended` (it can no longer come true)
   */
  async waitFor<D = unknown>(
    id: SessionIdOf<D> | string,
    until: Until,
    { timeoutMs = 1000 }: { readonly timeoutMs?: number } = {},
  ): Promise<Session<D>> {
    this.#checkOpen()
    return waitForSession<D>({ ...this.#observer.serving, clock: systemClock }, asId(id), until, timeoutMs)
  }

  /** Committed transitions of the session, oldest first, those of earlier lives of its id too. */
  history(id: string): Transition[] {
    const sessionId = asId(id)
    return this.#server.outbox.filter((row) => row.id === sessionId).map(transitionOf)
  }

  /**
   * Starts a further process.
   * @param options `definitions`: what it serves; default: what the last one does
   * @throws Error that says what is wrong with a definition
   */
  async startProcess({
    definitions = this.#definitions,
  }: { readonly definitions?: readonly SessionDefinition[] } = {}): Promise<void> {
    this.#checkOpen()
    await this.#startProcesses(1, definitions)
  }

  /**
   * All processes leave in order, and as many others take their place, which serve these definitions: sessions of older versions
   * are migrated when they are next touched.
   * @throws Error that says what is wrong with a definition; nothing has changed then
   */
  async deploy(definitions: readonly SessionDefinition[]): Promise<void> {
    this.#checkOpen()
    registerAll(definitions, this.#log)
    await this.#keeper.wait(Promise.all(this.#living().map((process) => process.stop())))
    await this.#startProcesses(this.#processCount, definitions)
  }

  /** Ends all processes. @throws Error if fault points were armed and have not fired */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await Promise.all([...this.#processes, this.#observer].map((process) => process.stop()))
    const { pending } = this.faults
    if (pending.length === 0) return
    const list = pending.map(({ kind, session }) => `${kind}(${JSON.stringify(session)})`).join(', ')
    throw new Error(`these faults were armed and never fired: ${list}`)
  }

  async #startProcesses(count: number, definitions: readonly SessionDefinition[]): Promise<void> {
    const registries = Array.from({ length: count }, () => registerAll(definitions, this.#log))
    for (const definition of definitions) this.#everServed.register(definition, true)
    if (definitions !== this.#definitions) this.#time.noteChange(ALL_TOLD_MS)
    this.#definitions = definitions
    for (const registry of registries) {
      const process = this.#newProcess(`p${this.#processes.length + 1}`, registry)
      this.#processes.push(process)
      await process.start()
    }
    await this.#keeper.advance(0)
  }

  #living(): SimulatedProcess[] {
    return this.#processes.filter(({ isAlive }) => isAlive)
  }

  #serving(): SimulatedProcess {
    this.#checkOpen()
    const [process] = this.#living()
    if (process !== undefined) return process
    throw new TroupeError('unavailable', 'all processes have crashed: startProcess() starts another one')
  }

  async #served<T>(call: (process: SimulatedProcess) => Promise<T>): Promise<T> {
    const process = this.#serving()
    return this.#keeper.wait(Promise.race([call(process), process.death]))
  }

  async #observed<T>(call: (observer: SimulatedProcess) => Promise<T>): Promise<T> {
    this.#checkOpen()
    return this.#keeper.wait(call(this.#observer))
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Error('the test kit is closed')
  }
}
