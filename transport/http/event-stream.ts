/**
 * One client of a session's updates by server-sent events.
 *
 * As for sockets (gateway/outlet.ts), a client that reads slowly costs bounded memory and delays nobody: while more
 * than `maxBufferedBytes` wait for it, nothing is written but the newest view kept, the end, and how many messages
 * were dropped. Beyond `maxBacklogBytes`, or if it takes nothing for long, it is cut off; it comes back with the id of
 * the last view that it has got.
 */
import type { ServerResponse } from 'node:http'
import { comparePositions, type Position, type SessionId, type SessionRecord } from '../../actors/session.ts'
import type { Principal } from '../../actors/ports.ts'
import type { MissedView } from '../feed/missed-views.ts'
import { newClientId } from '../feed/subscriber.ts'
import type { EndedNotification, Notification, Subscriber, UpdatedNotification } from '../feed/subscriber.ts'
import {
  firstEvent,
  gapEvent,
  goAwayEvent,
  heartbeat,
  missedEvents,
  notificationEvent,
  nothingMissed,
} from './event-text.ts'
import type { Lasting } from './lasting-requests.ts'

export interface EventStreamOptions {
  readonly response: ServerResponse
  readonly id: SessionId
  readonly principal: Principal | null
  readonly maxBufferedBytes: number
  readonly maxBacklogBytes: number
  /** @returns whether another process can serve the session, and this one cannot */
  readonly onUndeliverable: (error: unknown) => boolean
  /** Called once, when nothing is written any more; if it has not begun, the answer is still to be given. */
  readonly onOver: (stream: EventStream) => void
}

/** Heartbeats without room for a byte, after which the client counts as gone. */
const MISSED_BEATS = 2
/** Within this time clients that are sent away come back. */
const JITTER_MS = 1000
/** The pause of a client that may come back to a process which cannot serve it either. */
const MISPLACED_AFTER_MS = 2000

export class EventStream implements Subscriber, Lasting {
  readonly principal: Principal | null
  readonly watches = 'subscribe'
  #clientId: string | null = null
  readonly #options: EventStreamOptions
  readonly #maxBufferedBytes: number
  #updated: UpdatedNotification | null = null
  #ended: EndedNotification | null = null
  #dropped = 0
  #isCongested = false
  #missedBeats = 0
  /** Until then the answer may still be an error, and nothing may be written. */
  #hasBegun = false
  #isOver = false

  constructor(options: EventStreamOptions) {
    const { response, principal, maxBufferedBytes } = options
    this.#options = options
    this.principal = principal
    // Below its high-water mark a stream never tells that it has drained.
    this.#maxBufferedBytes = Math.max(maxBufferedBytes, response.writableHighWaterMark)
    response.on('drain', () => this.#relieve())
    response.on('error', () => undefined)
    response.on('close', () => this.#over())
    if (response.destroyed) this.#over()
  }

  get clientId(): string {
    return (this.#clientId ??= newClientId())
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /**
   * The first thing that the client gets.
   * @param view JSON text of `record`'s view
   * @param since what the client holds already
   * @param missed what happened since then, up to `record`; `null`: not all of it is known
   */
  begin(
    record: SessionRecord,
    view: string,
    since: Position | undefined,
    missed: readonly MissedView[] | null,
  ): void {
    this.#hasBegun = true
    if (since !== undefined && comparePositions(since, record) === 0) {
      this.#write(nothingMissed)
      return
    }
    if (missed !== null) {
      this.#write(missedEvents(missed))
      return
    }
    // Emitted events since then did not reach this client, and cannot be told any more.
    if (since?.epoch === record.epoch) this.#write(gapEvent({ id: record.id, dropped: 0 }))
    this.#write(firstEvent(view, record))
  }

  deliver(notification: Notification): void {
    if (this.#isCongested) this.#keep(notification)
    else this.#tell(notification)
  }

  undeliverable(error: unknown): void {
    if (this.#options.onUndeliverable(error)) this.#sendAway(MISPLACED_AFTER_MS)
  }

  beat(): void {
    if (!this.#hasBegun) return
    if (!this.#isCongested) this.#write(heartbeat)
    else if (++this.#missedBeats > MISSED_BEATS) this.cut()
  }

  seeOff(): void {
    this.#sendAway(0)
  }

  cut(): void {
    this.#options.response.destroy()
    this.#over()
  }

  #sendAway(afterMs: number): void {
    if (!this.#hasBegun) {
      this.#over()
      return
    }
    this.#write(goAwayEvent(afterMs, JITTER_MS, afterMs + Math.ceil(Math.random() * JITTER_MS)))
    this.#end()
  }

  #tell(notification: Notification): void {
    this.#write(notificationEvent(notification))
    if (notification.kind === 'ended') this.#end()
  }

  #keep(notification: Notification): void {
    switch (notification.kind) {
      case 'updated':
        this.#updated = notification
        return
      case 'ended':
        this.#ended = notification
        return
      case 'emitted':
      case 'message':
        this.#dropped++
        return
      case 'presence':
        return
      case 'gap':
        // Its number is not known; the one told later is at least that it happened.
        this.#dropped += Math.max(1, notification.dropped)
    }
  }

  #relieve(): void {
    if (!this.#isCongested) return
    this.#isCongested = false
    this.#missedBeats = 0
    const [dropped, updated, ended] = [this.#dropped, this.#updated, this.#ended]
    this.#dropped = 0
    this.#updated = this.#ended = null
    if (dropped > 0) this.#write(gapEvent({ id: this.#options.id, dropped }))
    if (updated !== null) this.#tell(updated)
    if (ended !== null) this.#tell(ended)
  }

  #write(event: string | Buffer): void {
    const { response, maxBacklogBytes } = this.#options
    if (this.#isOver) return
    response.write(event)
    if (response.writableLength <= this.#maxBufferedBytes) return
    // Part of it only waits for the end of the turn: what does the network take now?
    response.socket?.uncork()
    const waiting = response.writableLength
    if (waiting > maxBacklogBytes) this.cut()
    else if (waiting > this.#maxBufferedBytes) this.#isCongested = true
  }

  #end(): void {
    if (this.#isOver) return
    this.#options.response.end()
    this.#over()
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#updated = this.#ended = null
    this.#options.onOver(this)
  }
}
