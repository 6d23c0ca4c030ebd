/** A session takes an event that another one has sent (TM6): its record remembers it, so that it is applied once. */
import type { IncomingMail, Taken, Undelivered } from '../../actors/mail.ts'
import { messageOf, TroupeError } from '../../actors/errors.ts'
import { storableText } from '../../actors/storable.ts'
import type { HostParts } from './host-parts.ts'
import { takeLive } from './internal-turn.ts'
import type { ComputeStep } from './internal-turn.ts'
import { checkSize } from './session-size.ts'

/** What became of it; a refusal is for its sender to hear. */
export type Delivery = 'taken' | Pick<Undelivered, 'reason' | 'message'>

/** As the last step computed it. */
export interface MailOutcome {
  readonly delivery: Delivery
  /** What the session remembered before. */
  readonly had: Taken
}

export interface MailTurn {
  readonly compute: ComputeStep
  outcome(): MailOutcome
}

/** How a session is to take an event. */
export interface MailOrder {
  readonly mail: IncomingMail
  /** What is deleted of what the session has had. */
  readonly gone: Taken
  /** By the process' clock: computed later it might be applied again, since what it was read from may be settled. */
  readonly untilMs: number
  /** Epoch at which the session must have existed, in µs: another life of its id is not meant. `null`: any life. */
  readonly since: string | null
}

export function mailTurn(parts: HostParts, { mail, gone, untilMs, since }: MailOrder): MailTurn {
  let delivery: Delivery = 'taken'
  let had: Taken = {}
  const compute: ComputeStep = (known) => {
    const { record } = known
    const { id, machine, version } = record
    // Also when it is computed again after a lost race, or after a pause of the process.
    if (parts.clock.now() > untilMs)
      throw new TroupeError('unavailable', 'it was read too long ago: it must be read again')
    if (since !== null && record.createdAt * 1000 > Number(since)) {
      delivery = { reason: 'not_found', message: `session "${id}" is another one now` }
      return null
    }
    const kernel = parts.versions.kernelOf(record)
    const live = takeLive(parts, known)
    delivery = 'taken'
    had = live.taken
    try {
      const plan = kernel.take(live, mail, gone, Math.floor(parts.store.now()))
      if (plan === null) return null
      if (plan === 'taken' || plan === 'ended') {
        known.live = live
        if (plan === 'ended') delivery = { reason: 'session_ended', message: `session "${id}" has ended` }
        return null
      }
      checkSize(parts, plan)
      return { kind: 'mail', plan, event: mail.event, sender: mail.from }
    } catch (error) {
      if (!(error instanceof TroupeError)) throw error
      const reason = storableText(messageOf(error))
      parts.log.warn(
        { id, machine, version, from: mail.from, event: mail.event.type, reason },
        'an event of another session failed',
      )
      delivery = { reason: 'failed', message: reason }
      return null
    }
  }
  return { compute, outcome: () => ({ delivery, had }) }
}
