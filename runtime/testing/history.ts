/** What has become of a session, as the audit would tell. */
import type { PublicState } from '../../actors/session.ts'
import type { AuditedTransition } from '../../persistence/memory-server.ts'

/** A committed transition. */
export interface Transition {
  /**
   * What brought it about: `created`, `event` (a caller's), `timer`, `overdue` (timers armed anew after a downtime), `result` (of a
   * promise actor), `takeover` (of promise actors whose process died), `migrated`,
   * `mail` (an event of another session), `deleted`, `expired`.
   */
  readonly kind: AuditedTransition['kind']
  readonly epoch: string
  readonly version: number
  /** Virtual time, in ms since 1970. */
  readonly time: number
  /** The process that committed it. */
  readonly process: string
  /** The event, where there was one. */
  readonly event?: { readonly type: string; readonly [member: string]: unknown }
  /** The input, of a creation that had one. */
  readonly input?: unknown
  /** The command key, where its sender gave one. */
  readonly key?: string
  /** The session that sent the event, of `mail`. */
  readonly sender?: string
  /** What the machine threw at it; nothing but the timer or promise was dropped. */
  readonly failed?: string
  /** The state after it; absent for an end. */
  readonly state?: PublicState
}

/** One line of `history`, from what goes to the audit. */
export function transitionOf({ kind, epoch, version, time, audit, state }: AuditedTransition): Transition {
  const { node, event, input, key, sender, failed } = JSON.parse(audit) as {
    node: string
  } & Pick<Transition, 'event' | 'input' | 'key' | 'sender' | 'failed'>
  return {
    kind,
    epoch,
    version,
    time,
    process: node,
    ...(event === undefined ? {} : { event }),
    ...(input === undefined ? {} : { input }),
    ...(key === undefined ? {} : { key }),
    ...(sender === undefined ? {} : { sender }),
    ...(failed === undefined ? {} : { failed }),
    ...(state === '' ? {} : { state: JSON.parse(state) as PublicState }),
  }
}
