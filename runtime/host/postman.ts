/**
 * Delivers the events that sessions send each other: at once what this process committed, and by the sweep what other processes
 * left behind. It always begins at the oldest entry of a partition's stream and never goes past one that could not be delivered
 * to the same receiver: a receiver that knows the newest event of a sender has had all before it (TM6).
 */
import { TroupeError, messageOf } from '../../actors/errors.ts'
import { placeOf, isKnownGone, numberOf, UNDELIVERED } from '../../actors/mail.ts'
import type { IncomingMail, MailEntry, Taken, Undelivered } from '../../actors/mail.ts'
import { partitionOf } from '../../actors/partitions.ts'
import type { Clock, Logger, SessionStore } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'
import type { Delivery, MailOrder, MailOutcome } from './mail-turn.ts'

/** Entries that are read at once. */
const PAGE = 256
/** A partition whose mail cannot be delivered is tried again by the sweep, but not sooner. */
const PAUSE_MS = 2_000
/**
 * What was read longer ago is not delivered any more, but read again; and for longer than that a receiver remembers what it has had
 * after its entry was deleted (actors/mail.ts). So another process that read it before cannot deliver it to a receiver that has
 * forgotten it.
 */
const FRESH_MS = 4_000
/** Receivers of which it is known what they need not remember, and when they were reviewed. */
const MAX_RECEIVERS = 10_000
/** What a process did not tell its receivers before it ended is looked for this often, so much of it at a time. */
const REVIEW_MS = 60_000
const MAX_REVIEWED = 500

export interface PostmanOptions {
  readonly store: Pick<SessionStore, 'mail' | 'hasMail' | 'deleteMail'>
  readonly clock: Clock
  readonly log: Logger
  /** Lets a session take an event. @throws TroupeError, StoreFailure if it could not be tried: it stays where it is */
  readonly take: (id: SessionId, order: MailOrder) => Promise<MailOutcome>
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

interface Receiver {
  /** Numbers of what it has had and is deleted, by the sender, until it is told. */
  readonly gone: Map<string, string>
  reviewedAtMs: number
}

export class Postman {
  readonly #options: PostmanOptions
  readonly #rounds = new Map<number, Round>()
  readonly #pausedUntil = new Map<number, number>()
  readonly #receivers = new Map<SessionId, Receiver>()
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
          for (const { entry, by } of delivered)
            if (by !== null) this.#receiver(by.id).gone.set(by.from, numberOf(entry))
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
    const receiver = this.#receiver(id)
    const gone = Object.fromEntries(receiver.gone)
    const { delivery, had } = await this.#options.take(id, { mail, gone, untilMs, since })
    for (const [from, number] of Object.entries(gone))
      if (receiver.gone.get(from) === number) receiver.gone.delete(from)
    await this.#review(id, receiver, had, gone)
    return delivery
  }

  /** A receiver may remember what was deleted by a process that ended before it could tell. */
  async #review(id: SessionId, receiver: Receiver, had: Taken, told: Taken): Promise<void> {
    const { store, clock, log } = this.#options
    if (clock.now() - receiver.reviewedAtMs < REVIEW_MS) return
    receiver.reviewedAtMs = clock.now()
    const untold = Object.entries(had)
      .filter(([from, number]) => told[from] !== number && !isKnownGone(number))
      .slice(0, MAX_REVIEWED)
    const byPartition = new Map<number, { from: string; number: string; entryId: string }[]>()
    for (const [from, number] of untold) {
      const { sender, entryId } = placeOf(from, number, id)
      const partition = partitionOf(sender)
      const entries = byPartition.get(partition) ?? []
      byPartition.set(partition, entries)
      entries.push({ from, number, entryId })
    }
    try {
      for (const [partition, entries] of byPartition) {
        const areThere = await store.hasMail(
          partition,
          entries.map(({ entryId }) => entryId),
        )
        for (const [index, { from, number }] of entries.entries())
          if (areThere[index] === false) receiver.gone.set(from, number)
      }
    } catch (error) {
      log.debug({ id, reason: messageOf(error) }, 'what a receiver remembers could not be reviewed')
    }
  }

  /** What is known of a receiver; of those that got nothing for longest nothing is known. */
  #receiver(id: SessionId): Receiver {
    const receiver = this.#receivers.get(id) ?? {
      gone: new Map<string, string>(),
      reviewedAtMs: -Infinity,
    }
    this.#receivers.delete(id)
    this.#receivers.set(id, receiver)
    if (this.#receivers.size > MAX_RECEIVERS)
      for (const oldest of this.#receivers.keys()) {
        this.#receivers.delete(oldest)
        break
      }
    return receiver
  }
}

function byReceiver(entries: readonly MailEntry[]): Map<SessionId, MailEntry[]> {
  const receivers = new Map<SessionId, MailEntry[]>()
  for (const entry of entries) {
    const letters = receivers.get(entry.to)
    if (letters === undefined) receivers.set(entry.to, [entry])
    else letters.push(entry)
  }
  return receivers
}
