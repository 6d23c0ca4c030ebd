/** Server-sent events: the notifications of the wire, with their params as data, around text that is encoded already. */
import type { Position } from '../../actors/session.ts'
import type { MissedView } from '../feed/missed-views.ts'
import type { Notification } from '../feed/subscriber.ts'
import type { NotificationName } from '../protocol/messages.ts'
import {
  gapText,
  goAwayText,
  paramsText,
  sessionEmittedText,
  sessionUpdatedText,
} from '../protocol/notification-text.ts'
import { positionText } from './entity-tag.ts'

/** How long a browser waits before it connects again, unless it is told otherwise. */
const RETRY_MS = 1000

const names = {
  updated: 'sessionUpdated',
  emitted: 'sessionEmitted',
  message: 'sessionMessage',
  ended: 'sessionEnded',
  gap: 'gap',
  presence: 'presenceChanged',
} as const satisfies Record<Notification['kind'], NotificationName>

/** Encoded once for all streams. Only views have ids: after one of them nothing older is missing. */
export function notificationEvent(notification: Notification): Buffer {
  const { kind, frame } = notification
  const position = kind === 'updated' ? notification.record : null
  return frame.eventBytes((text) => Buffer.from(eventText(names[kind], text, position)))
}

/** The session as it is when the stream begins. `view`: JSON text. */
export function firstEvent(view: string, position: Position): string {
  return `retry: ${RETRY_MS}\n${eventText('sessionUpdated', sessionUpdatedText(view, '[]'), position)}`
}

/** Commits that the client has missed: of each what it emitted, and its view. `missed` has one or more. */
export function missedEvents(missed: readonly MissedView[]): string {
  const texts = missed.map(({ news: { record, emitted, events }, view }) => {
    const { id, epoch } = record
    const before = emitted.map(({ version, event }) =>
      eventText('sessionEmitted', sessionEmittedText(id, epoch, version, event), null),
    )
    return before.join('') + eventText('sessionUpdated', sessionUpdatedText(view, events), record)
  })
  return `retry: ${RETRY_MS}\n${texts.join('')}`
}

/** What the stream begins with when the client holds the newest view. */
export const nothingMissed = `retry: ${RETRY_MS}\n: nothing was missed\n\n`

export function gapEvent(notification: {
  readonly id: Notification['id']
  readonly dropped: number
}): string {
  return eventText('gap', gapText(notification.id, notification.dropped), null)
}

/** The client is to come back within `jitterMs` after `afterMs`; it keeps to `retryMs` by itself. */
export function goAwayEvent(afterMs: number, jitterMs: number, retryMs: number): string {
  return `retry: ${retryMs}\n${eventText('goAway', goAwayText(afterMs, jitterMs), null)}`
}

/** A comment: keeps proxies from closing a stream that has nothing to tell. */
export const heartbeat = ':\n\n'

/** JSON text has no line breaks, so that one line of data holds it. */
function eventText(name: NotificationName, notification: string, position: Position | null): string {
  const id = position === null ? '' : `id: ${positionText(position)}\n`
  return `${id}event: ${name}\ndata: ${paramsText(notification)}\n\n`
}
