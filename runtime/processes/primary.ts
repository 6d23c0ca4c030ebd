/**
 * The primary: starts the workers and the audit process, starts again what dies, and sees all off at the end. It
 * holds no sessions and no connections, so that there is little in it that could fail. When it dies itself, its
 * processes notice and leave.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import type { Logger } from '../../actors/ports.ts'
import type { AuditHealth } from '../../persistence/audit/worker.ts'
import type { ClusterOptions, FromProcess, ToProcess } from './messages.ts'
import { RollingRestart } from './rolling-restart.ts'
import { Supervised } from './supervised.ts'
import type { ProcessHandle } from './supervised.ts'

export interface PrimaryOptions {
  readonly options: ClusterOptions
  readonly files: readonly string[]
  readonly log: Logger
  /** A process cannot be kept running. */
  readonly onFatal: (reason: string) => void
}

const AUDIT = 'audit'

export class Primary {
  readonly #options: PrimaryOptions
  #workers: Supervised[] = []
  #audit: Supervised | null = null
  #auditHealth: AuditHealth | null = null
  #rolling: RollingRestart | null = null
  #replacing: Promise<boolean> | null = null
  #replacingNext: Promise<boolean> | null = null
  #isStarted = false
  #stopping: Promise<void> | null = null

  constructor(options: PrimaryOptions) {
    this.#options = options
  }

  /** Resolves once all processes are ready. @throws Error with the reason why one cannot start */
  async start(): Promise<void> {
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('./worker.js', import.meta.url)),
      args: [],
      silent: false,
    })
    // The first one alone: what keeps one worker from starting keeps all of them, and is to be told once.
    const first = this.#worker(0)
    this.#workers = [first]
    await this.#firstStart(first)
    const { workers, audit } = this.#options.options
    const others = Array.from({ length: workers - 1 }, (_, index) => this.#worker(index + 1))
    this.#workers = [first, ...others]
    if (audit) this.#audit = this.#auditProcess()
    await Promise.all(
      [...others, ...(this.#audit === null ? [] : [this.#audit])].map((one) => this.#firstStart(one)),
    )
    this.#isStarted = true
  }

  /**
   * Replaces all workers ({@link RollingRestart}). While that is under way: once more after it, since the new ones may have read their files
   * before these were changed.
   * @returns whether it was done to the end: not if the cluster is stopped meanwhile, or has not started yet
   * @throws Error with the reason why one could not be started; the old ones go on then
   */
  replaceWorkers(): Promise<boolean> {
    if (!this.#isStarted) return Promise.resolve(false)
    if (this.#replacing === null) return this.#replaceNow()
    this.#replacingNext ??= this.#replacing
      .catch(() => false)
      .then(() => {
        this.#replacingNext = null
        return this.#replaceNow()
      })
    return this.#replacingNext
  }

  /** Workers first, so that the audit gets what they still commit. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.#rolling?.stop()
    await Promise.all(this.#allWorkers.map((worker) => worker.stop()))
    await this.#replacing?.catch(() => undefined)
    await this.#audit?.stop()
  }

  /** Also those that are to replace others and have not started yet, and those that are to leave. */
  get #allWorkers(): Supervised[] {
    return [...new Set([...this.#workers, ...(this.#rolling?.processes ?? [])])]
  }

  #replaceNow(): Promise<boolean> {
    if (this.#stopping !== null) return Promise.resolve(false)
    const rolling = new RollingRestart({
      old: this.#workers,
      make: (index) => this.#worker(index),
      onTakeOver: (successors) => (this.#workers = [...successors]),
      log: this.#options.log,
    })
    this.#rolling = rolling
    this.#replacing = rolling.run().finally(() => (this.#rolling = this.#replacing = null))
    return this.#replacing
  }

  async #firstStart(one: Supervised): Promise<void> {
    try {
      await one.start()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  #worker(index: number): Supervised {
    return this.#supervise(`worker-${index + 1}`, () => {
      const worker = cluster.fork()
      // Errors of the process are the worker's too.
      worker.on('error', () => undefined)
      closeUnanswered(worker.process)
      return handleOf(worker.process, (message) => worker.send(message))
    })
  }

  #auditProcess(): Supervised {
    const path = fileURLToPath(new URL('./audit.js', import.meta.url))
    return this.#supervise(AUDIT, () => {
      const child = fork(path, [])
      return handleOf(child, (message) => child.send(message))
    })
  }

  #supervise(name: string, forkOne: () => ProcessHandle): Supervised {
    const { files, log, onFatal } = this.#options
    return new Supervised({
      name,
      fork: forkOne,
      cluster: this.#options.options,
      files,
      log,
      onMessage: (message) => this.#heard(message),
      ...(name === AUDIT ? { onExit: () => this.#auditEnded() } : {}),
      onCrashLoop: onFatal,
    })
  }

  #heard(message: FromProcess): void {
    if (message.type === 'audit') this.#tellHealth(message.health)
  }

  /** What the audit process said last is no longer true. */
  #auditEnded(): void {
    if (this.#auditHealth === null) return
    const reason = 'the audit process has ended and is started again'
    this.#tellHealth({ ...this.#auditHealth, status: 'degraded', reason })
  }

  #tellHealth(health: AuditHealth): void {
    this.#auditHealth = health
    for (const worker of this.#allWorkers) worker.send({ type: 'audit', health })
  }
}

function handleOf(child: ChildProcess, send: (message: ToProcess) => void): ProcessHandle {
  // A message to a process that has just died is an error event, not a reason to fail.
  child.on('error', () => undefined)
  return {
    pid: child.pid,
    send: (message) => {
      if (child.connected) send(message)
    },
    kill: (signal) => void child.kill(signal),
    onMessage: (listener) => void child.on('message', (message) => listener(message as FromProcess)),
    onExit: (listener) => void child.on('exit', listener),
  }
}

/**
 * The connection that a worker had been handed when it died, and that it had not answered for: node:cluster would keep it
 * open for good, and its client waiting. Closed, the client connects again. (With `SCHED_NONE` workers accept by
 * themselves, but then one of two idle workers was seen to take up to five times as many connections as the other.)
 */
function closeUnanswered(child: ChildProcess): void {
  const handed = new Map<number, Closable>()
  const send = child.send.bind(child) as (message: unknown, handle?: Closable, ...rest: unknown[]) => boolean
  child.send = ((message: { act?: string; seq?: number }, handle?: Closable, ...rest: unknown[]) => {
    if (message.act === 'newconn' && handle !== undefined) handed.set(message.seq ?? 0, handle)
    return send(message, handle, ...rest)
  }) as typeof child.send
  child.on('internalMessage', ({ ack }: { ack?: number }) => void handed.delete(ack ?? -1))
  const close = (): void => {
    for (const handle of handed.values()) handle.close()
    handed.clear()
  }
  child.on('exit', close)
  // Until its channel has ended too, node:cluster hands connections to a worker that is dead.
  child.on('disconnect', close)
}

interface Closable {
  close(): void
}
