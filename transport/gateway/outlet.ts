/**
 * All writing to one client.
 *
 * A client that reads slowly must cost bounded memory and delay nobody: while more than `maxBufferedBytes` wait for
 * it, notifications are not written but kept, one per session: the newest view, the end, how many messages were
 * dropped, and whether changes of the members were. Replies are always written (the connection stops reading requests meanwhile); beyond `maxBacklogBytes` the
 * client is beyond help.
 */
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { comparePositions, type Position, type SessionId } from '../../actors/session.ts'
import type { EndedNotification, Notification, UpdatedNotification } from '../feed/subscriber.ts'
import { gapText } from '../protocol/notification-text.ts'
import { textFrame } from '../protocol/text-frame.ts'
import type { Flusher } from './flusher.ts'
import type { GatewayLimits } from './limits.ts'

interface Pending {
  updated: UpdatedNotification | null
  ended: EndedNotification | null
  dropped: number
  /** Changes of the members were dropped. */
  isPresenceStale: boolean
}

export interface OutletOwner {
  /** The client does not keep up: stop reading from it. */
  congested(): void
  relieved(): void
  /** More waits than it may: close. */
  overflowed(): void
}

/** The same for all outlets. */
export interface OutletOptions {
  readonly flusher: Flusher
  readonly limits: Pick<GatewayLimits, 'maxBufferedBytes' | 'maxBacklogBytes'>
}

export class Outlet {
  readonly #socket: WebSocket
  /** The connection under the WebSocket: it knows when everything was written. */
  readonly #stream: Duplex
  readonly #options: OutletOptions
  readonly #owner: OutletOwner
  /** `null`: nothing is kept back. */
  #pending: Map<SessionId, Pending> | null = null
  #congested = false
  #overflown = false

  constructor(socket: WebSocket, stream: Duplex, options: OutletOptions, owner: OutletOwner) {
    this.#socket = socket
    this.#stream = stream
    this.#options = options
    this.#owner = owner
  }

  /** Whether the client does not keep up at the moment. */
  get congested(): boolean {
    return this.#congested
  }

  /** A reply: always written, and before the notifications of others. */
  reply(text: string): void {
    this.#write(textFrame(text), true)
  }

  /** @param frame what is written of it, if it can be now; what is kept is written whole */
  notify(notification: Notification, frame = notification.frame): void {
    if (this.#congested) this.#keep(notification)
    else this.#write(frame.bytes())
  }

  /** A reply carries this position of a session: an older view that is kept back must not follow it. */
  settled(id: SessionId, position: Position): void {
    const pending = this.#pending?.get(id)
    if (pending?.updated && comparePositions(pending.updated.record, position) <= 0) pending.updated = null
  }

  /** A reply carries the members of a session. */
  rosterTold(id: SessionId): void {
    const pending = this.#pending?.get(id)
    if (pending !== undefined) pending.isPresenceStale = false
  }

  /** The subscription is over: what is kept back is not wanted any more. */
  forget(id: SessionId): void {
    this.#pending?.delete(id)
  }

  /**
   * Past the library, whose own frames (pings, the close) are written at once too when nothing is compressed, so that
   * none comes into another. After the close nothing may follow.
   */
  #write(frame: Buffer, isReply = false): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    this.#options.flusher.cork(this.#stream, isReply)
    this.#stream.write(frame)
    if (this.#stream.writableLength > this.#options.limits.maxBufferedBytes) this.#crowded()
  }

  #crowded(): void {
    const { maxBufferedBytes, maxBacklogBytes } = this.#options.limits
    // Part of it only waits for the end of the turn: what does the network take now?
    this.#stream.uncork()
    const waiting = this.#stream.writableLength
    // Below its high-water mark a stream never tells that it has drained.
    if (waiting <= Math.max(maxBufferedBytes, this.#stream.writableHighWaterMark)) return
    if (waiting > maxBacklogBytes) {
      if (this.#overflown) return
      this.#overflown = true
      this.#owner.overflowed()
    } else if (!this.#congested) {
      this.#congested = true
      this.#stream.once('drain', () => this.#relieve())
      this.#owner.congested()
    }
  }

  #keep(notification: Notification): void {
    this.#pending ??= new Map()
    let pending = this.#pending.get(notification.id)
    if (pending === undefined) {
      pending = { updated: null, ended: null, dropped: 0, isPresenceStale: false }
      this.#pending.set(notification.id, pending)
    }
    switch (notification.kind) {
      case 'updated':
        pending.updated = notification
        return
      case 'ended':
        pending.ended = notification
        return
      case 'emitted':
      case 'message':
        pending.dropped++
        return
      case 'presence':
        pending.isPresenceStale = true
        return
      case 'gap':
        // Its number is not known; the one told later is at least that it happened.
        pending.dropped += Math.max(1, notification.dropped)
        pending.isPresenceStale ||= notification.isPresenceStale
    }
  }

  #relieve(): void {
    this.#congested = false
    const all = this.#pending ?? new Map<SessionId, Pending>()
    for (const [id, pending] of all) {
      all.delete(id)
      if (pending.dropped > 0 || pending.isPresenceStale)
        this.#write(textFrame(gapText(id, pending.dropped, pending.isPresenceStale)))
      if (pending.updated !== null) this.#write(pending.updated.frame.bytes())
      if (pending.ended !== null) this.#write(pending.ended.frame.bytes())
      // Set again by #write: the rest waits for the next time, and gathers what comes until then.
      if (this.#isCongested()) return
    }
    this.#pending = null
    this.#owner.relieved()
  }

  /** Read by a call, since the compiler believes a field to be as it was last set here. */
  #isCongested(): boolean {
    return this.#congested
  }
}
