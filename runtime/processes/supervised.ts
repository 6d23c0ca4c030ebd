/** One process that is to run: started again when it dies, with a growing pause while it does so soon. */
import type { Logger } from '../../actors/ports.ts'
import type { ClusterOptions, FromProcess, ToProcess } from './messages.ts'

/** What a ChildProcess and a cluster Worker have in common. */
export interface ProcessHandle {
  readonly pid: number | undefined
  send(message: ToProcess): void
  kill(signal: NodeJS.Signals): void
  onMessage(listener: (message: FromProcess) => void): void
  onExit(listener: (code: number | null, signal: NodeJS.Signals | null) => void): void
}

export interface SupervisedOptions {
  readonly name: string
  readonly fork: () => ProcessHandle
  readonly cluster: ClusterOptions
  readonly files: readonly string[]
  readonly log: Logger
  readonly onMessage: (message: FromProcess) => void
  /** It has ended, whyever. */
  readonly onExit?: () => void
  /** It has died several times in a row without getting ready. */
  readonly onCrashLoop: (reason: string) => void
}

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000
/** A process that lived so long after it was ready has proven that it can. */
const PROVEN_MS = 2000
const MAX_FAILED_STARTS = 5
/** Over the drain's own deadline, before it is killed. */
const KILL_GRACE_MS = 3000

export class Supervised {
  readonly #options: SupervisedOptions
  #handle: ProcessHandle | null = null
  #isReady = false
  #stopping: Promise<void> | null = null
  #failedStarts = 0
  #pauseMs = FIRST_PAUSE_MS
  #readyAt = 0
  #timer: NodeJS.Timeout | null = null
  #exited: (() => void) | null = null

  constructor(options: SupervisedOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }

  get pid(): number | undefined {
    return this.#handle?.pid
  }

  /** Starts it for the first time. @throws Error with the reason it gave */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#fork(resolve, reject)
    })
  }

  send(message: ToProcess): void {
    if (this.#isReady) this.#handle?.send(message)
  }

  /** Lets it finish its work; kills it if it takes longer than it may. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    const handle = this.#handle
    if (handle === null) return
    const exited = new Promise<void>((resolve) => (this.#exited = resolve))
    // A signal and not a message: it also ends one that does not listen yet.
    handle.kill('SIGTERM')
    const timer = setTimeout(() => {
      this.#options.log.warn(
        { name: this.#options.name, pid: handle.pid },
        'did not leave in time and is killed',
      )
      handle.kill('SIGKILL')
    }, this.#options.cluster.drainTimeoutMs + KILL_GRACE_MS)
    await exited
    clearTimeout(timer)
  }

  #fork(ready: () => void, failed: (error: Error) => void): void {
    const { name, fork, cluster, files } = this.#options
    const handle = fork()
    let reason: string | null = null
    let isExcused = false
    this.#handle = handle
    handle.onMessage((message) => {
      if (message.type === 'listening') {
        handle.send({ type: 'start', name, options: cluster, files })
      } else if (message.type === 'ready') {
        this.#isReady = true
        this.#failedStarts = 0
        this.#readyAt = Date.now()
        ready()
      } else if (message.type === 'failed') {
        reason = message.reason
        isExcused = message.isServerAway
      }
      this.#options.onMessage(message)
    })
    handle.onExit((code, signal) => {
      const wasReady = this.#isReady
      this.#isReady = false
      this.#handle = null
      this.#exited?.()
      this.#options.onExit?.()
      const how = reason ?? (signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`)
      if (!wasReady) failed(new Error(how))
      // One that has never been ready is not started again: whoever wanted it is told why.
      if (this.#stopping === null && this.#readyAt > 0)
        this.#died(wasReady, isExcused || signal === 'SIGKILL', how)
    })
  }

  #died(wasReady: boolean, isExcused: boolean, how: string): void {
    const { name, log, onCrashLoop } = this.#options
    // Who is killed while it starts, or finds a server away, has not failed by itself.
    if (!wasReady && !isExcused && ++this.#failedStarts >= MAX_FAILED_STARTS) {
      onCrashLoop(`${name} could not be started ${MAX_FAILED_STARTS} times in a row: ${how}`)
      return
    }
    const isProven = wasReady && Date.now() - this.#readyAt >= PROVEN_MS
    this.#pauseMs = isProven ? FIRST_PAUSE_MS : Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS)
    log.warn({ name, reason: how, restartInMs: this.#pauseMs }, 'a process died and is started again')
    this.#timer = setTimeout(() => {
      this.#fork(
        () => log.info({ name, pid: this.pid }, 'the process is back'),
        () => undefined,
      )
    }, this.#pauseMs)
  }
}
