/**
 * Who is subscribed, for all sessions whose definition has presence: enters the subscribers of this process as members, and tells those
 * who asked for it who comes and goes. Of sessions that nobody here has asked about it keeps no list; of all others, nothing at all.
 */
import { TroupeError, messageOf } from '../../actors/errors.ts'
import type { PresenceChange } from '../../actors/feed-message.ts'
import type { Clock, Logger, Principal } from '../../actors/ports.ts'
import type { PresenceStore } from '../../actors/presence.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { Attendance } from './attendance.ts'
import type { Notifier } from './notifier.ts'
import { Roster } from './roster.ts'
import type { Subscriber } from './subscriber.ts'

/** A member as JSON text. */
type MemberOf = (client: string, principal: Principal | null) => string

export interface PresenceParts {
  readonly tell: PresenceStore['tellPresence']
  /** `null`: the session's definition has no presence. */
  readonly memberOf: (record: SessionRecord) => MemberOf | null
}

export interface PresenceOptions extends PresenceParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly notifier: Notifier
  /** A change of a session's members. @returns whether it must not be told here */
  readonly withholds: (id: SessionId) => boolean
  readonly gapHoldMs: number
  readonly retryMs: { readonly first: number; readonly longest: number }
}

/** A list that is kept here, and who hears of it. */
interface Watched {
  readonly roster: Roster
  readonly watchers: Set<Subscriber>
  /** Subscriptions under way that wait for it. */
  arriving: number
}

/** A client that asks for the list gets it within this time, or an error. */
const ARRIVE_WITHIN_MS = 5000
/** How long a list is kept that nobody hears of. */
const LINGER_MS = 1000

export class Presence {
  readonly #options: PresenceOptions
  readonly #attendance: Attendance
  readonly #watched = new Map<SessionId, Watched>()

  constructor(options: PresenceOptions) {
    this.#options = options
    this.#attendance = new Attendance({
      clock: options.clock,
      logger: options.logger,
      tell: options.tell,
      numberOf: (id) => this.#watched.get(id)?.roster.number ?? null,
      onAnswer: (id, number, before) => this.#watched.get(id)?.roster.compare(number, before),
    })
  }

  /**
   * Enters a subscriber who wants the list, before it is admitted; resolves when the list is there and holds it.
   * @returns how to let go of the list; not before the subscriber is admitted, or is not
   * @throws TroupeError `invalid_params` if there is no presence, `unavailable`
   */
  async arrive(subscriber: Subscriber, record: SessionRecord): Promise<() => void> {
    const { id } = record
    const memberOf = this.#options.memberOf(record)
    if (memberOf === null || subscriber.clientId === undefined) throw withoutPresence(record)
    const { clientId } = subscriber
    const watched = this.#watch(id)
    watched.arriving++
    const release = (): void => {
      watched.arriving--
      this.#letGo(id, watched)
    }
    try {
      this.#attendance.enter(id, clientId, () => memberOf(clientId, subscriber.principal))
      await this.#within(this.#attendance.told(id).then((number) => watched.roster.reached(number)))
      return release
    } catch (cause) {
      release()
      throw new TroupeError('unavailable', 'The members of the session could not be read.', { cause })
    }
  }

  /**
   * A subscriber was admitted, and with `wantsRoster` is told of each change from now on.
   * @returns then: what the list is whenever it is asked
   */
  admitted(subscriber: Subscriber, record: SessionRecord, wantsRoster: boolean): (() => string) | null {
    const { id } = record
    const memberOf = this.#options.memberOf(record)
    if (memberOf !== null && subscriber.clientId !== undefined) {
      const { clientId } = subscriber
      this.#attendance.enter(id, clientId, () => memberOf(clientId, subscriber.principal))
    }
    if (!wantsRoster) {
      this.#unwatch(id, subscriber)
      return null
    }
    const { roster, watchers } = this.#watch(id)
    watchers.add(subscriber)
    return () => roster.text
  }

  /** Whatever ended its subscription; also for those who are no members. */
  leave(id: SessionId, subscriber: Subscriber): void {
    if (!this.#attendance.isAt(id)) return
    this.#unwatch(id, subscriber)
    if (subscriber.clientId !== undefined) this.#attendance.leave(id, subscriber.clientId)
  }

  heard(change: PresenceChange): void {
    this.#watched.get(change.id)?.roster.heard(change)
  }

  /** The feed may have lost changes. */
  interrupted(): void {
    for (const { roster } of this.#watched.values()) roster.readAgain()
  }

  /** All members of this process leave. Never rejects. */
  async stop(): Promise<void> {
    for (const { roster } of this.#watched.values()) roster.stop()
    this.#watched.clear()
    await this.#attendance.stop()
  }

  #watch(id: SessionId): Watched {
    const known = this.#watched.get(id)
    if (known !== undefined) return known
    const { clock, logger, notifier, gapHoldMs, retryMs } = this.#options
    const watchers = new Set<Subscriber>()
    const roster = new Roster(id, {
      clock,
      logger,
      gapHoldMs,
      retryMs,
      read: () => this.#attendance.read(id),
      onChange: (joined, left) => {
        if (watchers.size === 0 || this.#options.withholds(id)) return
        const notification = notifier.presence(id, joined, left)
        for (const subscriber of [...watchers]) {
          try {
            subscriber.deliver(notification)
          } catch (error) {
            logger.error({ id, reason: messageOf(error) }, 'a subscriber failed at a change of members')
          }
        }
      },
    })
    const watched = { roster, watchers, arriving: 0 }
    this.#watched.set(id, watched)
    return watched
  }

  #unwatch(id: SessionId, subscriber: Subscriber): void {
    const watched = this.#watched.get(id)
    if (watched?.watchers.delete(subscriber) === true) this.#letGo(id, watched)
  }

  #letGo(id: SessionId, watched: Watched): void {
    if (watched.watchers.size > 0 || watched.arriving > 0 || this.#watched.get(id) !== watched) return
    // Who has just arrived is admitted in a moment.
    this.#options.clock.setTimeout(() => {
      if (watched.watchers.size > 0 || watched.arriving > 0 || this.#watched.get(id) !== watched) return
      this.#watched.delete(id)
      watched.roster.stop()
    }, LINGER_MS)
  }

  async #within(arrived: Promise<void>): Promise<void> {
    let timer: { cancel(): void } | null = null
    const late = new Promise<never>((_, reject) => {
      timer = this.#options.clock.setTimeout(
        () => reject(new Error(`not within ${ARRIVE_WITHIN_MS} ms`)),
        ARRIVE_WITHIN_MS,
      )
    })
    try {
      await Promise.race([arrived, late])
    } finally {
      ;(timer as { cancel(): void } | null)?.cancel()
    }
  }
}

export function withoutPresence({ machine }: SessionRecord): TroupeError {
  return new TroupeError(
    'invalid_params',
    `presence: the definition "${machine}" has none; nothing was subscribed`,
  )
}
