/** Notifications as frames, put around JSON text that is encoded already. Ids are plain ASCII without quotes. */
import type { EndReason, Epoch, Position, SessionId } from '../../actors/session.ts'
import type { NotificationName } from './messages.ts'

function notificationText(method: NotificationName, params: string): string {
  return `{"jsonrpc":"2.0","method":"${method}","params":${params}}`
}

/** JSON text of the params of a notification. */
export function paramsText(notification: string): string {
  const name = '"params":'
  return notification.slice(notification.indexOf(name) + name.length, -1)
}

/** `view`: JSON text of an object; `events`: JSON text of an array of strings. */
export function sessionUpdatedText(view: string, events: string): string {
  return notificationText('sessionUpdated', `${view.slice(0, -1)},"events":${events}}`)
}

/** `message`: JSON text. */
export function sessionMessageText(id: SessionId, message: string): string {
  return notificationText('sessionMessage', `{"id":"${id}","message":${message}}`)
}

/** `event`: JSON text. */
export function sessionEmittedText(id: SessionId, epoch: Epoch, version: number, event: string): string {
  return notificationText(
    'sessionEmitted',
    `{"id":"${id}","epoch":"${epoch}","version":${version},"event":${event}}`,
  )
}

export function sessionEndedText(id: SessionId, position: Position, reason: EndReason): string {
  const { epoch, version } = position
  return notificationText(
    'sessionEnded',
    `{"id":"${id}","epoch":"${epoch}","version":${version},"reason":"${reason}"}`,
  )
}

export function gapText(id: SessionId, dropped: number): string {
  return notificationText('gap', `{"id":"${id}","dropped":${dropped}}`)
}

/** Both in milliseconds. */
export function goAwayText(afterMs: number, jitterMs: number): string {
  return notificationText('goAway', `{"afterMs":${afterMs},"jitterMs":${jitterMs}}`)
}
