/**
 * Many subscribers in one process that do as little as they can with what they are sent: of each notification the
 * version is read at its known place and nothing is parsed, since the crowd shares the machine with the servers, and a
 * thousand ordinary clients would be what is measured. It still is a good part of all the work; it is the same for
 * every server.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Control } from '../load/control.ts'
import { Histogram } from '../load/histogram.ts'
import { FIRST_ID, RequestTemplate, recognise } from '../load/requests.ts'
import { LoadSocket } from '../load/web-socket.ts'
import type { FrameHandler } from '../load/web-socket.ts'
import type { CrowdPlan, UpdatesPlan, UpdatesReport } from './plan.ts'
import { SlowSocket } from './slow-socket.ts'

const LATE_MS = 10_000
const VERSION = '"version":'
const ZERO = 0x30
/** Sent times are kept for this many updates. */
const REMEMBERED = 4096
/** Together more than Linux keeps for a socket whose reader does not read (4 MB by default, and what is under way). */
const FILLING_MESSAGES = 160
const FILLING_BYTES = 60_000
/** Where notifications of updates, messages and ends differ. */
const KIND_OFFSET = '{"jsonrpc":"2.0","method":"session'.length
const UPDATED = 0x55
/** Subscriptions that are asked for at once. */
const WAVE = 100

export class Crowd implements FrameHandler {
  readonly #plan: CrowdPlan
  readonly #ids: readonly string[]
  readonly #sockets: LoadSocket[] = []
  readonly #slow: SlowSocket[] = []
  readonly #shared = Buffer.allocUnsafe(256 * 1024)
  readonly #sentAt = new Float64Array(REMEMBERED)
  #writer: LoadSocket | null = null
  #nextId = FIRST_ID
  /** Version of the session once all that was sent is applied. */
  #version = 1
  #unanswered = 0
  /** Notifications of the first session, over the whole run. */
  #delivered = 0
  #bytes = 0
  #messages = 0
  #versionOffset = -1
  /** Called when something arrived that the writer may wait for. */
  #onProgress: (() => void) | null = null
  #latency: Histogram | null = null
  #lost: string | null = null

  constructor(plan: CrowdPlan) {
    this.#plan = plan
    this.#ids = Array.from({ length: plan.sessions }, (_, n) => `${plan.run}-${String(n).padStart(5, '0')}`)
  }

  async create(): Promise<void> {
    const control = await Control.open(this.#plan.url)
    await control.callEach(this.#ids, 'createSession', (id) => ({ machine: 'basket', id }))
    control.close()
  }

  async connect(): Promise<void> {
    const url = new URL(this.#plan.url)
    const subscribe = this.#ids.map((id) => new RequestTemplate('subscribe', id))
    for (let index = 0; index < this.#plan.subscribers; index++) {
      // One after another, so that round robin gives each worker its share in turn.
      const socket = await LoadSocket.open(url, index, this, this.#shared)
      this.#sockets.push(socket)
      const template = subscribe[index % subscribe.length]
      if (template !== undefined) this.#request(socket, template)
      if (index % WAVE === 0) await this.#untilAnswered()
    }
    this.#writer = await LoadSocket.open(url, -1, this, this.#shared)
    await this.#untilAnswered()
  }

  /**
   * Subscribers of the first session that never read, and messages to all of it until the system's buffers must be full
   * for those: only then does the server meet that they are slow. With a count of 0 the messages alone are sent.
   */
  async connectSlow(count: number): Promise<void> {
    const [id = ''] = this.#ids
    for (let index = 0; index < count; index++) this.#slow.push(await SlowSocket.open(this.#plan.url, id))
    const control = await Control.open(this.#plan.url)
    for (let sent = 1; sent <= FILLING_MESSAGES; sent++) {
      await control.call('broadcastToSession', { id, message: 'x'.repeat(FILLING_BYTES) })
      while (this.#messages < sent * this.#subscribers && this.#lost === null) await sleep(1)
    }
    control.close()
  }

  async update(plan: UpdatesPlan, tell: (event: 'measuring' | 'measured') => void): Promise<UpdatesReport> {
    const [id = ''] = this.#ids
    const template = new RequestTemplate('updateSession', id)
    const isPaced = plan.pace.kind === 'rate'
    const writing = isPaced ? this.#pace(template, plan) : this.#fillWindow(template, plan)
    await sleep(plan.warmUpMs)
    tell('measuring')
    const startedAt = performance.now()
    const cpu = process.cpuUsage()
    const before = { version: this.#version, delivered: this.#delivered, bytes: this.#bytes }
    const latency = (this.#latency = new Histogram())
    await sleep(plan.measureMs)
    this.#latency = null
    const elapsedMs = performance.now() - startedAt
    const { user, system } = process.cpuUsage(cpu)
    const updates = this.#version - before.version
    const deliveries = this.#delivered - before.delivered
    const bytes = this.#bytes - before.bytes
    tell('measured')
    await writing
    const missing = await this.#untilDelivered()
    if (this.#lost !== null) throw new Error(`a connection was lost: ${this.#lost}`)
    return {
      elapsedMs,
      updatesPerSecond: (updates / elapsedMs) * 1000,
      deliveriesPerSecond: (deliveries / elapsedMs) * 1000,
      latency: latency.percentiles(),
      bytesPerDelivery: bytes / Math.max(1, deliveries),
      missing,
      crowdCores: (user + system) / 1000 / elapsedMs,
    }
  }

  onText(_socket: LoadSocket, bytes: Buffer, from: number, to: number): void {
    if (bytes[from + 18] !== 0x6d /* "method", not "id" */) {
      if (recognise(bytes, from, to).kind !== 'result') {
        this.#lost ??= bytes.toString('utf8', from, Math.min(to, from + 300))
      }
      this.#unanswered--
    } else if (bytes[from + KIND_OFFSET] !== UPDATED) {
      this.#messages++
    } else {
      this.#delivered++
      this.#bytes += to - from
      if (this.#latency !== null) {
        const sentAt = this.#sentAt[this.#versionOf(bytes, from, to) % REMEMBERED] ?? 0
        this.#latency.record(performance.now() - sentAt)
      }
    }
    this.#onProgress?.()
  }

  onLost(_socket: LoadSocket, reason: string): void {
    this.#lost ??= reason
  }

  close(): void {
    for (const socket of [...this.#sockets, ...this.#slow]) socket.close()
    this.#writer?.close()
  }

  /** All before it has the same length in every notification of a session. */
  #versionOf(bytes: Buffer, from: number, to: number): number {
    if (this.#versionOffset < 0)
      this.#versionOffset = bytes.toString('latin1', from, to).indexOf(VERSION) + VERSION.length
    let version = 0
    for (let at = from + this.#versionOffset; ; at++) {
      const digit = (bytes[at] ?? 0) - ZERO
      if (digit < 0 || digit > 9) return version
      version = version * 10 + digit
    }
  }

  /** Of the first session. */
  get #subscribers(): number {
    return Math.ceil(this.#plan.subscribers / this.#plan.sessions)
  }

  async #fillWindow(template: RequestTemplate, plan: UpdatesPlan): Promise<void> {
    const until = performance.now() + plan.warmUpMs + plan.measureMs
    await new Promise<void>((resolve) => {
      this.#onProgress = () => {
        if (performance.now() >= until || this.#lost !== null) {
          this.#onProgress = null
          resolve()
          return
        }
        const isArrived = this.#delivered >= (this.#version - 1 - plan.pace.value) * this.#subscribers
        if (this.#unanswered === 0 && isArrived) this.#send(template)
      }
      this.#onProgress()
    })
  }

  async #pace(template: RequestTemplate, plan: UpdatesPlan): Promise<void> {
    const startedAt = performance.now()
    const until = startedAt + plan.warmUpMs + plan.measureMs
    for (let sent = 0; performance.now() < until && this.#lost === null; sent++) {
      await sleep(startedAt + (sent / plan.pace.value) * 1000 - performance.now())
      this.#send(template)
    }
  }

  #send(template: RequestTemplate): void {
    if (this.#writer === null) throw new Error('the crowd is not connected')
    this.#sentAt[++this.#version % REMEMBERED] = performance.now()
    this.#request(this.#writer, template)
  }

  #request(socket: LoadSocket, template: RequestTemplate): void {
    this.#unanswered++
    socket.send(template.encode(this.#nextId++))
  }

  async #untilAnswered(): Promise<void> {
    while (this.#unanswered > 0 && this.#lost === null) await sleep(1)
    if (this.#lost !== null) throw new Error(this.#lost)
  }

  /** @returns how many deliveries are missing. */
  async #untilDelivered(): Promise<number> {
    const until = performance.now() + LATE_MS
    const missing = (): number => (this.#version - 1) * this.#subscribers - this.#delivered
    while ((missing() > 0 || this.#unanswered > 0) && performance.now() < until && this.#lost === null)
      await sleep(5)
    return missing()
  }
}
