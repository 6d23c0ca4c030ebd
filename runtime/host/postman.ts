/**
 * Delivers the events that sessions send each other: at once what this process committed, and by the sweep what other processes
 * left behind. It always begins at the oldest entry of a partition's stream and never goes past one that could not be delivered
 * to the same receiver: a receiver that knows the newest event of a sender has had all before it (TM6).
 */
import { TroupeError, messageOf } from '../../actors/errors.ts'
import { numberOf, UNDELIVERED } from '../../actors/mail.ts'
import type { IncomingMail, MailEntry, Taken, Undelivered } from '../../actors/mail.ts'
import type { Clock, Logger, SessionStore } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'
import type { Delivery, MailOrder } from './mail-turn.ts'

/** Entries that are read at once. */
const PAGE = 256
/** A partition whose mail cannot be delivered is tried again by the sweep, but not sooner. */
const PAUSE_MS = 2_000
/**
 * What was read longer ago is not delivered any more, but read again; and for longer than that a receiver remembers what it has had
 * after its entry was deleted. So another process that read it before cannot deliver it to a receiver that has forgotten it.
 */
const FRESH_MS = 4_000
const REMEMBERED_MS = 10_000
/** Receivers of which it is remembered what they need to remember no more. */
const MAX_SETTLED = 10_000

export interface PostmanOptions {
  readonly store: Pick<SessionStore, 'mail' | 'deleteMail'>
  readonly clock: Clock
  readonly log: Logger
  /** Lets a session take an event. @throws TroupeError, StoreFailure if it could not be tried: it stays where it is */
  readonly take: (id: SessionId, order: MailOrder) => Promise<Delivery>
  /** There is mail in the partition for a definition that this process does not know. */
  readonly onUnknown: (partition: number) => void
}

interface Round {
  isWanted: boolean
}

interface Delivered {
  readonly entry: MailEntry
  /** Who has taken it, and as from whom: its receiver, or its sender that got it back; `null`: nobody. */
  readonly by: { readonly id: SessionId; readonly from: string } | null
}

interface Settled {
  readonly number: string
  readonly atMs: number
}

export class Postman {
  readonly #options: PostmanOptions
  readonly #rounds = new Map<number, Round>()
  readonly #pausedUntil = new Map<number, number>()
  readonly #settled = new Map<SessionId, Map<string, Settled>>()
  #isStopped = false

  constructor(options: PostmanOptions) {
    this.#options = options
  }

  /** A commit of this process has added mail to the partition. Returns at once. */
  notify(partition: number): void {
    const round = this.#rounds.get(partition)
    if (round !== undefined) round.isWanted = true
    else if (!this.#isStopped) void this.#run(partition)
  }

  /** The sweep has found mail that waits. */
  sweep(partition: number): void {
    if ((this.#pausedUntil.get(partition) ?? 0) > this.#options.clock.now()) return
    this.notify(partition)
  }

  /** Begins nothing new; what is under way may finish. The rest is left to other processes. */
  stop(): void {
    this.#isStopped = true
  }

  get isIdle(): boolean {
    return this.#rounds.size === 0
  }

  async #run(partition: number): Promise<void> {
    const { clock, log } = this.#options
    const round: Round = { isWanted: false }
    this.#rounds.set(partition, round)
    let isDone = true
    do {
      round.isWanted = false
      try {
        isDone = await this.#deliverAll(partition)
      } catch (error) {
        isDone = false
        log.debug({ partition, reason: messageOf(error) }, 'mail could not be read or deleted')
      }
    } while (round.isWanted && !this.#isStopped)
    if (isDone) this.#pausedUntil.delete(partition)
    else this.#pausedUntil.set(partition, clock.now() + PAUSE_MS)
    this.#rounds.delete(partition)
  }

  /** @returns whether nothing is left of what was there */
  async #deliverAll(partition: number): Promise<boolean> {
    const { store, clock } = this.#options
    const stuck = new Set<string>()
    let after = ''
    for (;;) {
      if (this.#isStopped) return false
      const untilMs = clock.now() + FRESH_MS
      const entries = await store.mail(partition, after, PAGE)
      const last = entries.at(-1)
      if (last === undefined) return stuck.size === 0
      after = last.entryId
      // Receivers at once, what is for one of them in order.
      await Promise.all(
        [...byReceiver(entries)].map(async ([, letters]) => {
          const delivered = await this.#deliverInOrder(partition, letters, untilMs, stuck)
          if (delivered.length === 0) return
          await store.deleteMail(
            partition,
            delivered.map(({ entry }) => entry),
          )
          for (const { entry, by } of delivered) if (by !== null) this.#settle(by.id, by.from, entry)
        }),
      )
      if (entries.length < PAGE) return stuck.size === 0
    }
  }

  async #deliverInOrder(
    partition: number,
    letters: readonly MailEntry[],
    untilMs: number,
    stuck: Set<string>,
  ): Promise<Delivered[]> {
    const { log, onUnknown } = this.#options
    const delivered: Delivered[] = []
    for (const entry of letters) {
      const pair = `${entry.from} ${entry.to}`
      if (stuck.has(pair)) continue
      try {
        delivered.push({ entry, by: await this.#deliver(entry, untilMs) })
      } catch (error) {
        stuck.add(pair)
        if (error instanceof TroupeError && error.code === 'unknown_machine_version') onUnknown(partition)
        const isPassing = !(error instanceof TroupeError) || error.retryable
        const { from, to } = entry
        log[isPassing ? 'debug' : 'warn'](
          { from, to, reason: messageOf(error) },
          'mail could not be delivered yet',
        )
      }
    }
    return delivered
  }

  async #deliver(entry: MailEntry, untilMs: number): Promise<Delivered['by']> {
    const { from, to, epoch, hops } = entry
    const number = numberOf(entry)
    const event = JSON.parse(entry.event) as Undelivered['event']
    const delivery = await this.#take(to, { from, number, hops, event }, untilMs, null)
    if (delivery === 'taken') return { id: to, from }
    const back = { from: `!${to}`, number, hops, event: { type: UNDELIVERED, to, event, ...delivery } }
    if ((await this.#take(from, back, untilMs, epoch)) === 'taken') return { id: from, from: back.from }
    this.#options.log.warn(
      { from, to, event: event.type, ...delivery },
      'an event reached nobody, nor did its return',
    )
    return null
  }

  async #take(id: SessionId, mail: IncomingMail, untilMs: number, since: string | null): Promise<Delivery> {
    const settled = this.#settledFor(id)
    const delivery = await this.#options.take(id, { mail, settled, untilMs, since })
    const known = this.#settled.get(id)
    for (const [from, number] of Object.entries(settled))
      if (known?.get(from)?.number === number) known.delete(from)
    if (known?.size === 0) this.#settled.delete(id)
    return delivery
  }

  /** The entry is gone: who has taken it need not remember it for long. */
  #settle(id: SessionId, from: string, entry: MailEntry): void {
    const known = this.#settled.get(id) ?? new Map<string, Settled>()
    known.set(from, { number: numberOf(entry), atMs: this.#options.clock.now() })
    this.#settled.delete(id)
    this.#settled.set(id, known)
    if (this.#settled.size <= MAX_SETTLED) return
    for (const oldest of this.#settled.keys()) {
      this.#settled.delete(oldest)
      return
    }
  }

  #settledFor(id: SessionId): Taken {
    const known = this.#settled.get(id)
    if (known === undefined) return NONE_SETTLED
    const longAgoMs = this.#options.clock.now() - REMEMBERED_MS
    const old = [...known].filter(([, { atMs }]) => atMs <= longAgoMs)
    return Object.fromEntries(old.map(([from, { number }]) => [from, number]))
  }
}

const NONE_SETTLED: Taken = {}

function byReceiver(entries: readonly MailEntry[]): Map<SessionId, MailEntry[]> {
  const receivers = new Map<SessionId, MailEntry[]>()
  for (const entry of entries) {
    const letters = receivers.get(entry.to)
    if (letters === undefined) receivers.set(entry.to, [entry])
    else letters.push(entry)
  }
  return receivers
}
