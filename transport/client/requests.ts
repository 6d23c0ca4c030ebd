/**
 * Requests that wait for their answers. They outlive connections: what is not answered when one is lost is sent again
 * on the next, with the same command key, so that it is applied once.
 *
 * 1. Requests of a lane (a session) are sent in the order in which they were made, and none before the one in front of it is
 *    answered (or `maxInFlightPerSession` of them are under way). So a request that must be tried again is not overtaken.
 * 2. A request is answered once: by the reply to its last try, or by its deadline.
 * 3. Once a try may have been applied, only a definite answer ends the doubt: `outcome: "unknown"` until then.
 */
import type { Clock } from '../../actors/ports.ts'
import { waitMs, type Backoff } from './backoff.ts'
import { ClientError, errorOfReply } from './client-error.ts'
import type { Link, Message } from './link.ts'

export interface RequestOptions {
  readonly method: string
  /** Called for each try. */
  readonly params: () => object
  readonly lane: string
  /** Goes before all others of its lane that are not under way. */
  readonly first?: boolean
  /** `null`: it waits for ever. */
  readonly timeoutMs: number | null
  /** Whether it may be sent again when it is not known what became of it. */
  readonly repeatable: boolean
  /** Its command key: the server remembers it for a while only. */
  readonly key?: string
  /** It only asks: nothing can have been applied. */
  readonly readOnly?: boolean
  /** Answers of this code are not tried again though they are `retryable`. */
  readonly finalCode?: string
  /** Counted apart: many may wait for long, and must not keep others from being sent. */
  readonly patient?: boolean
  readonly onResult: (result: unknown, link: Link) => void
  readonly onError: (error: ClientError) => void
}

interface Entry extends RequestOptions {
  /** Where its last try is under way, and as what; `null`: it is not. */
  link: Link | null
  id: number
  text: string
  tries: number
  firstSentAt: number | null
  isDoubtful: boolean
  lastError: ClientError | null
  retry: { cancel(): void } | null
  deadline: { cancel(): void } | null
}

export interface RequestsOptions {
  readonly clock: Clock
  readonly random: () => number
  readonly backoff: Backoff
  readonly maxQueued: number
  readonly maxInFlightPerSession: number
  readonly maxFrameBytes: number
  readonly current: () => Link | null
  /** Something was answered over this connection. */
  readonly onAnswer: (link: Link) => void
  /** The server takes no more requests over this connection. */
  readonly onDraining: (link: Link) => void
}

/** A server stops reading a connection with 256 requests under way. */
const MAX_IN_FLIGHT = 128
const MAX_PATIENT = 64
/** Servers remember command keys for two minutes: what was sent longer ago is not sent again. */
const RESEND_WITHIN_MS = 100_000
/** A frame was too large, says the server or what stands before it. */
const TOO_BIG = 1009

export class Requests {
  readonly #options: RequestsOptions
  readonly #lanes = new Map<string, Entry[]>()
  readonly #underWay = new Map<number, Entry>()
  #patient = 0
  /** Lanes that could go on but for the limits. */
  readonly #held = new Set<string>()
  #count = 0
  #lastId = 0
  #stopped: ClientError | null = null

  constructor(options: RequestsOptions) {
    this.#options = options
  }

  isAwaiting(link: Link): boolean {
    for (const entry of this.#underWay.values()) if (entry.link === link) return true
    return false
  }

  add(options: RequestOptions): void {
    if (this.#stopped !== null) {
      options.onError(this.#stopped)
      return
    }
    const { maxQueued, clock } = this.#options
    // What waits without end is the client's own: subscriptions must not fail because many updates wait.
    if (this.#count >= maxQueued && options.timeoutMs !== null) {
      const message = `${maxQueued} requests wait already (maxQueued); this one was not sent`
      options.onError(
        new ClientError('queue_full', message, { retryable: true, data: { outcome: 'not_applied' } }),
      )
      return
    }
    const entry: Entry = {
      ...options,
      link: null,
      id: 0,
      text: '',
      tries: 0,
      firstSentAt: null,
      isDoubtful: false,
      lastError: null,
      retry: null,
      deadline: null,
    }
    const { timeoutMs } = options
    if (timeoutMs !== null)
      entry.deadline = clock.setTimeout(() => this.#fail(entry, this.#lateness(entry, timeoutMs)), timeoutMs)
    const lane = this.#lanes.get(options.lane) ?? []
    this.#lanes.set(options.lane, lane)
    if (options.first === true) lane.splice(lane.filter(({ link }) => link !== null).length, 0, entry)
    else lane.push(entry)
    this.#count++
    this.#pump(options.lane)
  }

  /** Sends whatever can be sent: there is a new connection. */
  resume(): void {
    for (const lane of [...this.#lanes.keys()]) this.#pump(lane)
  }

  /** @returns whether it was an answer to a request of ours */
  received(link: Link, message: Message): void {
    const entry = typeof message.id === 'number' ? this.#underWay.get(message.id) : undefined
    if (entry === undefined || entry.link !== link || message.method !== undefined) return
    this.#options.onAnswer(link)
    if (message.error === undefined) {
      this.#finish(entry)
      entry.onResult(message.result, link)
      this.#goOn(entry.lane)
      return
    }
    const error = errorOfReply(message.error)
    if (error.code === 'draining') this.#options.onDraining(link)
    if (!error.retryable || error.code === entry.finalCode) {
      this.#fail(entry, error)
      return
    }
    if (error.outcome === 'unknown') {
      entry.isDoubtful = true
      if (!entry.repeatable) {
        this.#fail(entry, error)
        return
      }
    }
    entry.lastError = error
    this.#takeBack(entry)
    const { clock, backoff, random } = this.#options
    entry.retry = clock.setTimeout(
      () => {
        entry.retry = null
        this.#pump(entry.lane)
      },
      waitMs(backoff, entry.tries - 1, random),
    )
    this.#goOn(entry.lane)
  }

  lost(link: Link, code: number): void {
    const lost = [...this.#underWay.values()].filter((entry) => entry.link === link)
    if (code === TOO_BIG) this.#failLargest(lost)
    for (const entry of lost) {
      if (entry.link === null) continue
      entry.isDoubtful = true
      if (entry.repeatable) this.#takeBack(entry)
      else
        this.#fail(
          entry,
          this.#doubt(
            entry,
            `the connection was lost before ${entry.method} was answered, and it is not sent twice`,
          ),
        )
    }
    // Those that went to the current connection's lanes can go on when this was one that was left.
    this.resume()
  }

  /** Everything that waits fails. */
  stop(reason: string, data: Record<string, unknown>): void {
    this.#stopped = new ClientError('closed', reason, { data: { ...data, outcome: 'not_applied' } })
    for (const entry of [...this.#lanes.values()].flat()) {
      const outcome = this.#mayBeApplied(entry) ? 'unknown' : 'not_applied'
      this.#fail(
        entry,
        new ClientError('closed', reason, { data: { ...data, ...this.#keyOf(entry), outcome } }),
      )
    }
  }

  #pump(name: string): void {
    const link = this.#options.current()
    const lane = this.#lanes.get(name)
    if (link === null || lane === undefined) return
    let underWay = 0
    for (const entry of [...lane]) {
      if (entry.link !== null) {
        // What is behind it may reach the session before it, if it goes another way.
        if (entry.link !== link || ++underWay >= this.#options.maxInFlightPerSession) return
        continue
      }
      if (entry.retry !== null) return
      if (
        entry.patient === true
          ? this.#patient >= MAX_PATIENT
          : this.#underWay.size - this.#patient >= MAX_IN_FLIGHT
      ) {
        this.#held.add(name)
        return
      }
      if (!this.#send(entry, link)) continue
      if (++underWay >= this.#options.maxInFlightPerSession) return
    }
  }

  #send(entry: Entry, link: Link): boolean {
    const now = this.#options.clock.now()
    entry.firstSentAt ??= now
    if (entry.key !== undefined && entry.isDoubtful && now - entry.firstSentAt > RESEND_WITHIN_MS) {
      this.#fail(
        entry,
        this.#doubt(entry, `${entry.method} was sent too long ago to be sent again with the same key`),
      )
      return false
    }
    const id = ++this.#lastId
    const text = JSON.stringify({ jsonrpc: '2.0', id, method: entry.method, params: entry.params() })
    // A larger frame would cost the connection.
    if (text.length * 3 > this.#options.maxFrameBytes && byteLength(text) > this.#options.maxFrameBytes) {
      this.#fail(entry, tooLarge(entry))
      return false
    }
    Object.assign(entry, { id, link, text, tries: entry.tries + 1 })
    this.#underWay.set(id, entry)
    if (entry.patient === true) this.#patient++
    link.send(text)
    return true
  }

  /** Its try is over. */
  #takeBack(entry: Entry): void {
    if (entry.link === null) return
    this.#underWay.delete(entry.id)
    if (entry.patient === true) this.#patient--
    entry.link = null
    entry.text = ''
  }

  #finish(entry: Entry): boolean {
    const lane = this.#lanes.get(entry.lane)
    const at = lane?.indexOf(entry) ?? -1
    if (lane === undefined || at < 0) return false
    this.#takeBack(entry)
    entry.retry?.cancel()
    entry.deadline?.cancel()
    lane.splice(at, 1)
    if (lane.length === 0) this.#lanes.delete(entry.lane)
    this.#count--
    return true
  }

  #fail(entry: Entry, error: ClientError): void {
    if (!this.#finish(entry)) return
    entry.onError(error)
    this.#goOn(entry.lane)
  }

  #goOn(lane: string): void {
    this.#pump(lane)
    const held = [...this.#held]
    this.#held.clear()
    for (const name of held) this.#pump(name)
  }

  #failLargest(entries: readonly Entry[]): void {
    const largest = entries.reduce<Entry | null>(
      (found, entry) => (found !== null && found.text.length >= entry.text.length ? found : entry),
      null,
    )
    if (largest !== null) this.#fail(largest, tooLarge(largest))
  }

  #lateness(entry: Entry, timeoutMs: number): ClientError {
    const what = `${entry.method} was not answered within ${timeoutMs} ms`
    if (this.#mayBeApplied(entry)) return this.#doubt(entry, what)
    if (entry.lastError !== null) return entry.lastError
    return new ClientError('timeout', `${what}; nothing was done`, {
      retryable: true,
      data: { ...this.#keyOf(entry), outcome: 'not_applied' },
    })
  }

  #doubt(entry: Entry, what: string): ClientError {
    const advice = entry.key === undefined ? '' : ': send it again with the same key'
    return new ClientError('timeout', `${what}; it may have been applied${advice}`, {
      retryable: true,
      data: { ...this.#keyOf(entry), outcome: 'unknown' },
    })
  }

  #mayBeApplied(entry: Entry): boolean {
    return entry.readOnly !== true && (entry.isDoubtful || entry.link !== null)
  }

  #keyOf({ key }: Entry): { key?: string } {
    return key === undefined ? {} : { key }
  }
}

function tooLarge({ method }: Entry): ClientError {
  return new ClientError('too_large', `${method} is larger than the frames that the server takes`, {
    data: { outcome: 'not_applied' },
  })
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length
}
