/**
 * What one process tells the others about a session, and what a process tells its own subscribers: the same
 * messages. How they are written into a channel is known to `persistence/` (who publishes) and `transport/feed`
 * (who listens) through {@link parseFeedMessage}.
 */
import type { EndReason, Position, SessionId, SessionRecord } from './session.ts'
import { parseRecord } from './record-text.ts'

/** An event that the machine emitted, and the version of the transition that did. */
interface EmittedEvent {
  readonly version: number
  /** JSON text of the event. */
  readonly event: string
}

/** A commit: the session went from `baseVersion` to the position of `record`. */
export interface SessionUpdated {
  readonly kind: 'updated'
  readonly id: SessionId
  /** The process that committed. */
  readonly node: string
  /** Version before the commit; 0 for a creation. Versions between it and the record's were made by this commit. */
  readonly baseVersion: number
  readonly record: SessionRecord
  /** JSON text of an array: the types of the events that led here, oldest first. */
  readonly events: string
  readonly emitted: readonly EmittedEvent[]
}

export interface SessionEnded {
  readonly kind: 'ended'
  readonly id: SessionId
  readonly position: Position
  readonly reason: EndReason
}

/** A broadcast. */
interface SessionMessage {
  readonly kind: 'message'
  readonly id: SessionId
  /** JSON text of the message. */
  readonly message: string
}

/** Members have joined or left: change `number` of the session's list. Each is told once, with those before it or after. */
export interface PresenceChange {
  readonly kind: 'presence'
  readonly id: SessionId
  readonly number: number
  /** JSON text of an array of members. */
  readonly joined: string
  /** JSON text of an array: clients of members. */
  readonly left: string
}

export type FeedMessage = SessionUpdated | SessionEnded | SessionMessage | PresenceChange

/** How many lines a message has, by its first character. */
const LINES: Readonly<Record<string, number>> = { u: 6, e: 4, p: 4 }

/**
 * Feed messages as text, first character tells the kind:
 * `u<id>\n<node>\n<baseVersion>\n<events>\n<emitted>\n<record>` with `emitted` as `[[version, event], …]`,
 * `e<id>\n<epoch>\n<version>\n<reason>`, `m<id>\n<message>`, `p<id>\n<number>\n<joined>\n<left>`. JSON text holds no line feed.
 *
 * @returns `null` for what is none of these (another version's message): skip it.
 */
export function parseFeedMessage(text: string): FeedMessage | null {
  const parts = cut(text.slice(1), LINES[text[0] ?? ''] ?? 2)
  if (parts === null) return null
  const id = parts[0] as SessionId
  switch (text[0]) {
    case 'u': {
      const record = parseRecord(id, parts[5] ?? '')
      if (record === null) return null
      const emittedText = parts[4] ?? '[]'
      const emitted =
        emittedText === '[]'
          ? []
          : (JSON.parse(emittedText) as [number, unknown][]).map(([version, event]) => ({
              version,
              event: JSON.stringify(event),
            }))
      return {
        kind: 'updated',
        id,
        node: parts[1] ?? '',
        baseVersion: Number(parts[2]),
        events: parts[3] ?? '[]',
        emitted,
        record,
      }
    }
    case 'e':
      return {
        kind: 'ended',
        id,
        position: { epoch: parts[1] ?? '', version: Number(parts[2]) },
        reason: parts[3] as EndReason,
      }
    case 'm':
      return { kind: 'message', id, message: parts[1] ?? 'null' }
    case 'p':
      return {
        kind: 'presence',
        id,
        number: Number(parts[1]),
        joined: parts[2] ?? '[]',
        left: parts[3] ?? '[]',
      }
    default:
      return null
  }
}

/** The first `count` - 1 lines and the rest, or `null` if there are fewer. */
function cut(text: string, count: number): string[] | null {
  const parts: string[] = []
  let from = 0
  while (parts.length < count - 1) {
    const to = text.indexOf('\n', from)
    if (to < 0) return null
    parts.push(text.slice(from, to))
    from = to + 1
  }
  parts.push(text.slice(from))
  return parts
}

/** The text of a broadcast, see {@link parseFeedMessage}. */
export function encodeBroadcast(id: SessionId, message: string): string {
  return `m${id}\n${message}`
}
