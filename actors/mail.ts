/** Events from one session to another: what an action asks for, and what a receiver remembers of what it has had. */
import type {
  ActionArgs,
  EventObject,
  ExecutableActionObject,
  MachineContext,
  ParameterizedObject,
} from 'xstate'
import { isReservedEvent } from './reserved.ts'
import { parseSessionId } from './session.ts'
import type { Position, SessionId } from './session.ts'

/** The event by which a sender hears that its event reached nobody; see {@link Undelivered}. */
export const UNDELIVERED = 'troupe.undelivered'

/**
 * How long a chain of sessions may be that send each other events, each because of the one before. A client, a timer or a promise
 * begins a new chain.
 */
export const MAX_HOPS = 64

/** Events that one transition may send to other sessions. */
export const MAX_MAIL = 1000

/** An event that a transition sends to another session. */
export interface OutgoingMail {
  readonly to: SessionId
  /** JSON text. */
  readonly event: string
  /** 1, 2, …: which link of a chain it is. */
  readonly hops: number
}

/** An event on its way: an entry of the stream in the sender's partition. Its number within the sender is (position, index). */
export interface MailEntry extends OutgoingMail, Position {
  readonly entryId: string
  readonly from: SessionId
  readonly commitId: string
  /** 0, 1, …: among those of its transition. */
  readonly index: number
}

/** What a sender is told when its event reached nobody. */
export interface Undelivered extends EventObject {
  readonly type: typeof UNDELIVERED
  /** The session that it was for. */
  readonly to: string
  readonly event: EventObject
  /** `failed`: its machine threw, or would have become too large; nothing of it was applied. */
  readonly reason: 'not_found' | 'session_ended' | 'failed'
  readonly message: string
}

/** An event as its receiver takes it: `from` and `number` say whether it had it already. */
export interface IncomingMail {
  /** Who sent it: a session, or `!` and a session that an event of the receiver's own did not reach. */
  readonly from: string
  readonly number: string
  readonly hops: number
  readonly event: EventObject
}

/** The numbers of the newest events that were taken, by their sender. */
export type Taken = Readonly<Record<string, string>>

/** What of a number makes the order; the rest names the entry of the stream, and says since when it is gone. */
const ORDERING_PARTS = 3
const PARTS = 4

/**
 * For so long a receiver remembers what it has had after it was told that the entry is gone: by then nobody delivers what was read
 * before.
 */
const REMEMBERED_MS = 10_000

/** `<epoch>:<version>:<index>:<entry id>`; a receiver that knows since when the entry is gone adds `:<ms>`. */
export function numberOf({ epoch, version, index, entryId }: MailEntry): string {
  return `${epoch}:${version}:${index}:${entryId}`
}

/** Where the event lay that a receiver remembers. */
export function placeOf(
  from: string,
  number: string,
  receiver: SessionId,
): { sender: SessionId; entryId: string } {
  // What came back lay among what the receiver itself had sent.
  const sender = from.startsWith('!') ? receiver : (from as SessionId)
  return { sender, entryId: number.split(':')[ORDERING_PARTS] ?? '' }
}

/** Whether an event, or a later one of the same sender, was taken before. */
export function isTaken(taken: Taken, { from, number }: IncomingMail): boolean {
  const known = Object.hasOwn(taken, from) ? taken[from] : undefined
  return known !== undefined && compareNumbers(known, number) >= 0
}

/** Whether a receiver knows that the entry is gone. */
export function isKnownGone(number: string): boolean {
  return number.split(':').length > PARTS
}

/**
 * @param gone numbers whose entries are deleted
 * @param nowMs Redis' time
 */
export function withTaken(taken: Taken, { from, number }: IncomingMail, gone: Taken, nowMs: number): Taken {
  const next: Record<string, string> = {}
  for (const [sender, known] of Object.entries(taken)) {
    const goneMs = known.split(':')[PARTS]
    if (goneMs === undefined) next[sender] = gone[sender] === known ? `${known}:${nowMs}` : known
    else if (Number(goneMs) + REMEMBERED_MS > nowMs) next[sender] = known
  }
  next[from] = number
  return next
}

function compareNumbers(a: string, b: string): number {
  const [left, right] = [a.split(':'), b.split(':')]
  for (let part = 0; part < ORDERING_PARTS; part++) {
    const difference = Number(left[part]) - Number(right[part])
    if (difference !== 0) return difference
  }
  return 0
}

const ASKED = Symbol.for('troupe.mail')

interface Asked {
  readonly to: unknown
  readonly event: unknown
}

type Resolve = (args: unknown, params: unknown) => Asked

/**
 * An action that sends an event to another session, by id. It is committed with the transition that asked for it, and applied
 * exactly once, in the order in which the sender sent it, also when processes die on the way. If there is no such session, or it has
 * ended, or its machine throws, the sender gets {@link Undelivered} instead.
 *
 * @param to the id, or a function that finds it
 * @param event what its machine gets, or a function that makes it; like that of a client, but not checked by `events`
 * @example
 * actions: sendToSession(({ context }) => context.warehouse, ({ context }) => ({ type: 'RESERVE', sku: context.sku }))
 */
export function sendToSession<
  C extends MachineContext,
  X extends EventObject,
  E extends EventObject,
  P extends ParameterizedObject['params'] | undefined,
  Sent extends EventObject,
>(
  to: string | ((args: ActionArgs<C, X, E>, params: P) => string),
  event: Sent | ((args: ActionArgs<C, X, E>, params: P) => Sent),
): (args: ActionArgs<C, X, E>, params: P) => void {
  const resolve = (args: ActionArgs<C, X, E>, params: P): Asked => ({
    to: typeof to === 'function' ? to(args, params) : to,
    event: typeof event === 'function' ? event(args, params) : event,
  })
  const action = function sendToSession(): never {
    throw new Error('sendToSession works in a session of a runtime only')
  }
  return Object.assign(action, { [ASKED]: resolve })
}

/** The event that an action sends to another session; `null`: it is another kind of action. @throws Error if it cannot be sent */
export function mailOf(
  { exec, info, params }: ExecutableActionObject,
  hops: number,
): { readonly to: SessionId; readonly event: EventObject; readonly hops: number } | null {
  const resolve = (exec as { [ASKED]?: Resolve } | undefined)?.[ASKED]
  if (resolve === undefined) return null
  const { to, event } = resolve(info, params)
  const id = typeof to === 'string' ? parseSessionId(to) : null
  if (id === null) throw new Error(`it sends an event to ${JSON.stringify(to)}, which is not a session id`)
  const type = (event as { type?: unknown } | null | undefined)?.type
  if (typeof type !== 'string' || type === '')
    throw new Error(`it sends session "${id}" something without a type, which is not an event`)
  if (isReservedEvent(type))
    throw new Error(`it sends session "${id}" an event of type ${JSON.stringify(type)}, which is reserved`)
  if (hops > MAX_HOPS)
    throw new Error(
      `it answers a chain of ${MAX_HOPS} events between sessions with a further one, to "${id}": do they send each other events for ever?`,
    )
  return { to: id, event: event as EventObject, hops }
}
