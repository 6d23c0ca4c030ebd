/**
 * One run of load: C clients over S sessions, closed loop or paced, and what came of it.
 *
 * Closed loop: each client sends its next request when a reply arrives, so a slow server slows the client and the
 * latencies say little. Paced: requests are due at a fixed rate whatever the server does, and each is timed from
 * when it was due (not from when it was sent), so a stall counts for all requests that it delayed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Control } from './control.ts'
import { Histogram } from './histogram.ts'
import { InFlight } from './in-flight.ts'
import { cyclicMix, sessionsOf } from './plan.ts'
import type { LoadConfig } from './plan.ts'
import type { LoadReport } from './report.ts'
import { RequestTemplate, isExpected, methods, recognise } from './requests.ts'
import { LoadSocket } from './web-socket.ts'
import type { FrameHandler } from './web-socket.ts'

const DRAIN_MS = 10_000
const TICK_MS = 1
const SUBSCRIBE = methods.indexOf('subscribe')
const UPDATE = methods.indexOf('updateSession')

export class Load implements FrameHandler {
  readonly #config: LoadConfig
  readonly #ids: readonly string[]
  readonly #templates: readonly (readonly RequestTemplate[])[]
  readonly #mix: Uint8Array
  readonly #sockets: LoadSocket[] = []
  readonly #own: readonly (readonly number[])[]
  readonly #turns: Uint32Array
  readonly #inFlight = new InFlight()
  readonly #acknowledged: Uint32Array
  readonly #histograms = methods.map(() => new Histogram())
  readonly #lag = new Histogram()
  readonly #failures = new Map<string, number>()
  #issued = 0
  #sending = false
  #measuring = false
  /** The measured time, `performance.now()`. */
  #from = Infinity
  #until = Infinity
  #requests = 0
  #updates = 0
  #notifications = 0
  #lost: string | null = null

  constructor(config: LoadConfig) {
    this.#config = config
    this.#ids = Array.from({ length: config.sessions }, (_, n) => `${config.run}-${n}`)
    this.#templates = this.#ids.map((id) => methods.map((method) => new RequestTemplate(method, id)))
    this.#mix = cyclicMix(config.mix)
    this.#own = Array.from({ length: config.clients }, (_, client) => sessionsOf(config, client))
    this.#turns = new Uint32Array(config.clients)
    this.#acknowledged = new Uint32Array(config.sessions)
  }

  /**
   * @param onMeasuring called when the measured time begins
   * @throws if the servers refuse the sessions or lose a connection
   */
  async run(onMeasuring: () => void, onMeasured: () => void): Promise<LoadReport> {
    const config = this.#config
    const control = await Control.open(config.url)
    await control.callEach(this.#ids, 'createSession', (id) => ({ machine: config.machine, id }))
    await this.#connect()

    this.#sending = true
    const pacing = config.rate === null ? this.#startClosedLoop() : this.#pace(config.rate)
    await sleep(config.warmUpMs)
    onMeasuring()
    const startedAt = (this.#from = performance.now())
    const cpu = process.cpuUsage()
    this.#measuring = true
    await sleep(config.measureMs)
    this.#measuring = false
    this.#until = performance.now()
    const elapsedMs = this.#until - startedAt
    const { user, system } = process.cpuUsage(cpu)
    onMeasured()
    this.#sending = false
    await pacing
    await this.#drain()

    const verification = await this.#verify(control)
    control.close()
    for (const socket of this.#sockets) socket.close()
    if (this.#lost !== null) throw new Error(`a connection was lost under load: ${this.#lost}`)
    return {
      config,
      elapsedMs,
      requestsPerSecond: (this.#requests / elapsedMs) * 1000,
      updatesPerSecond: (this.#updates / elapsedMs) * 1000,
      notificationsPerSecond: (this.#notifications / elapsedMs) * 1000,
      latency: Object.fromEntries(
        methods
          .map((method, index) => [method, this.#histograms[index]?.percentiles()] as const)
          .filter(([, percentiles]) => percentiles !== undefined && percentiles.count > 0),
      ),
      driverLag: this.#lag.percentiles(),
      failures: Object.fromEntries(this.#failures),
      unanswered: this.#inFlight.count,
      verification,
      driverCores: (user + system) / 1000 / elapsedMs,
    }
  }

  onText(socket: LoadSocket, bytes: Buffer, from: number, to: number): void {
    const reply = recognise(bytes, from, to)
    if (reply.kind === 'notification') {
      if (this.#measuring) this.#notifications++
      return
    }
    const request = this.#inFlight.take(reply.id)
    if (request === null) return this.#fail('a reply to nothing that was asked')
    if (reply.kind === 'error') this.#fail(bytes.toString('utf8', from, Math.min(to, from + 300)))
    else if (!isExpected(request.method, bytes, reply.at)) {
      this.#fail(
        `${methods[request.method]}: ${bytes.toString('utf8', reply.at, Math.min(to, reply.at + 60))}`,
      )
    } else {
      if (request.method === UPDATE)
        this.#acknowledged[request.session] = (this.#acknowledged[request.session] ?? 0) + 1
      if (this.#measuring) {
        this.#requests++
        if (request.method === UPDATE) this.#updates++
      }
      // By when it was due, not by when it was answered: else a stall at the end would be left out.
      if (request.since >= this.#from && request.since < this.#until) {
        this.#histograms[request.method]?.record(performance.now() - request.since)
      }
    }
    if (this.#sending && this.#config.rate === null) this.#send(socket, performance.now())
  }

  onLost(_socket: LoadSocket, reason: string): void {
    this.#lost ??= reason
  }

  async #connect(): Promise<void> {
    const url = new URL(this.#config.url)
    const shared = Buffer.allocUnsafe(256 * 1024)
    for (let index = 0; index < this.#config.clients; index++) {
      // One after another, so that round robin gives each worker its share in turn.
      this.#sockets.push(await LoadSocket.open(url, index, this, shared))
    }
    if (!this.#config.subscribe) return
    for (const socket of this.#sockets) {
      for (const session of this.#own[socket.index] ?? [])
        this.#request(socket, SUBSCRIBE, session, performance.now())
    }
    await this.#drain()
  }

  async #startClosedLoop(): Promise<void> {
    for (let n = 0; n < this.#config.depth; n++) {
      for (const socket of this.#sockets) this.#send(socket, performance.now())
    }
  }

  async #pace(rate: number): Promise<void> {
    const startedAt = performance.now()
    let sent = 0
    while (this.#sending) {
      const now = performance.now()
      for (let due = startedAt + (sent / rate) * 1000; due <= now; due = startedAt + (sent / rate) * 1000) {
        const socket = this.#sockets[sent % this.#sockets.length]
        if (socket === undefined || this.#lost !== null) return
        this.#send(socket, due)
        if (this.#measuring) this.#lag.record(performance.now() - due)
        sent++
      }
      await sleep(TICK_MS)
    }
  }

  #send(socket: LoadSocket, since: number): void {
    const own = this.#own[socket.index] ?? []
    const turn = this.#turns[socket.index] ?? 0
    this.#turns[socket.index] = turn + 1
    const method = this.#mix[this.#issued++ % this.#mix.length] ?? UPDATE
    this.#request(socket, method, own[turn % own.length] ?? 0, since)
  }

  #request(socket: LoadSocket, method: number, session: number, since: number): void {
    const template = this.#templates[session]?.[method]
    if (template === undefined) throw new RangeError(`no request for session ${session} and method ${method}`)
    socket.send(template.encode(this.#inFlight.add(method, session, since)))
  }

  /** Waits until all is answered, or for {@link DRAIN_MS}. */
  async #drain(): Promise<void> {
    const until = performance.now() + DRAIN_MS
    while (this.#inFlight.count > 0 && performance.now() < until && this.#lost === null) await sleep(5)
  }

  /** Reads all sessions back: each version must be 1 and the updates that were acknowledged. */
  async #verify(control: Control): Promise<LoadReport['verification']> {
    const views = await control.callEach(this.#ids, 'getSession', (id) => ({ id }))
    const versions = views.map((view) => (view as { version?: number } | null)?.version ?? 0)
    const wrong = versions.filter((version, n) => version !== 1 + (this.#acknowledged[n] ?? 0)).length
    return {
      sessions: versions.length,
      wrong,
      updates: this.#acknowledged.reduce((sum, each) => sum + each, 0),
    }
  }

  #fail(what: string): void {
    const word = what.replaceAll(this.#config.run, '…').replace(/…-\d+|\d{6,}/g, '…')
    this.#failures.set(word, (this.#failures.get(word) ?? 0) + 1)
  }
}
