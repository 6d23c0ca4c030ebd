/** Who hears of a session, and what is told: the same for sockets and for callbacks of the TypeScript API. */
import { randomBytes } from 'node:crypto'
import type { Epoch, Position, SessionId, SessionRecord, SubscriptionEnd } from '../../actors/session.ts'
import type { Principal } from '../../actors/ports.ts'
import { textFrame } from '../protocol/text-frame.ts'

export interface Subscriber {
  readonly principal: Principal | null
  /** What definitions are asked for it; absent: code of this process, for which they are not. */
  readonly watches?: 'subscribe' | 'waitFor'
  /** Which member of its sessions it is (letters and digits); absent: it is none, whoever may ask who is subscribed. */
  readonly clientId?: string
  /** Called in the order that the protocol promises. Must not throw; may call `leave`. */
  deliver(notification: Notification): void
  /** News of a session could not be put into a view for this subscriber. Must not throw; may call `leave`. */
  undeliverable(error: unknown): void
}

export type Notification =
  | UpdatedNotification
  | EmittedNotification
  | MessageNotification
  | EndedNotification
  | GapNotification
  | PresenceNotification

export interface UpdatedNotification {
  readonly kind: 'updated'
  readonly id: SessionId
  readonly record: SessionRecord
  /** JSON text: types of the events that led here; `[]` if the record was read again. */
  readonly events: string
  readonly frame: Frame
  /** The same as a patch, for who has the view before it. */
  readonly patch: PatchFrame | null
}

/** What has changed since a view. */
interface PatchFrame {
  readonly base: Position
  /** For a subscriber who had that view as this principal; `null`: the whole view is smaller. */
  frame(principal: Principal | null): Frame | null
}

export interface EmittedNotification {
  readonly kind: 'emitted'
  readonly id: SessionId
  readonly epoch: Epoch
  readonly version: number
  /** JSON text. */
  readonly event: string
  readonly frame: Frame
}

export interface MessageNotification {
  readonly kind: 'message'
  readonly id: SessionId
  /** JSON text. */
  readonly message: string
  readonly frame: Frame
}

/** The session is no more, or may no longer be seen; the subscription ends with this. */
export interface EndedNotification {
  readonly kind: 'ended'
  readonly id: SessionId
  readonly position: Position
  readonly reason: SubscriptionEnd
  readonly frame: Frame
}

/** Messages or emitted events may have been missed. `dropped` 0: not known how many. */
export interface GapNotification {
  readonly kind: 'gap'
  readonly id: SessionId
  readonly dropped: number
  /** So may changes of the members. */
  readonly isPresenceStale: boolean
  readonly frame: Frame
}

/** Members have come or gone, for who asked for their list. */
export interface PresenceNotification {
  readonly kind: 'presence'
  readonly id: SessionId
  readonly frame: Frame
}

/** For `Subscriber.clientId`. */
export function newClientId(): string {
  return randomBytes(8).toString('hex')
}

/** A frame that is encoded when the first socket wants it, and then shared by all. */
export class Frame {
  readonly #text: () => string
  #bytes: Buffer | null = null
  #event: Buffer | null = null

  constructor(text: () => string) {
    this.#text = text
  }

  /** The bytes of the whole WebSocket frame. */
  bytes(): Buffer {
    return (this.#bytes ??= textFrame(this.#text()))
  }

  /** The same as a server-sent event, which the first listener encodes for all; `encode` gets the text of the frame. */
  eventBytes(encode: (text: string) => Buffer): Buffer {
    return (this.#event ??= encode(this.#text()))
  }
}
