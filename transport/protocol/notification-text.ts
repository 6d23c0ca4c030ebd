/** Notifications as frames, put around JSON text that is encoded already. Ids are plain ASCII without quotes. */
import type { Epoch, Position, SessionId, SubscriptionEnd } from '../../actors/session.ts'
import type { SessionUpdated } from '../../actors/feed-message.ts'
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

/** A commit in the reply of a subscription that resumes. `view`: JSON text of an object. */
export function missedUpdateText(view: string, { events, emitted }: SessionUpdated): string {
  const texts = emitted.map(({ version, event }) => `{"version":${version},"event":${event}}`)
  return `${view.slice(0, -1)},"events":${events},"emitted":[${texts.join(',')}]}`
}

/** `patch`: JSON text of a JSON Patch; `events`: JSON text of an array of strings. */
export function sessionPatchedText(
  { id, epoch, version }: Position & { readonly id: SessionId },
  base: Position,
  patch: string,
  events: string,
): string {
  return notificationText(
    'sessionUpdated',
    `{"id":"${id}","epoch":"${epoch}","baseVersion":${base.version},"version":${version},"patch":${patch},"events":${events}}`,
  )
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

export function sessionEndedText(id: SessionId, position: Position, reason: SubscriptionEnd): string {
  const { epoch, version } = position
  return notificationText(
    'sessionEnded',
    `{"id":"${id}","epoch":"${epoch}","version":${version},"reason":"${reason}"}`,
  )
}

/** @param presence whether changes of the members were dropped */
export function gapText(id: SessionId, dropped: number, presence = false): string {
  return notificationText('gap', `{"id":"${id}","dropped":${dropped}${presence ? ',"presence":true' : ''}}`)
}

/** JSON texts of members. */
export function presenceChangedText(
  id: SessionId,
  joined: readonly string[],
  left: readonly string[],
): string {
  return notificationText(
    'presenceChanged',
    `{"id":"${id}","joined":[${joined.join(',')}],"left":[${left.join(',')}]}`,
  )
}

/** Both in milliseconds. */
export function goAwayText(afterMs: number, jitterMs: number): string {
  return notificationText('goAway', `{"afterMs":${afterMs},"jitterMs":${jitterMs}}`)
}
