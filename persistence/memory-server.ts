/**
 * What a Redis server is to the processes that share it, in memory: sessions, what is due, mail, the outbox and the feed.
 * For tests: nothing of it survives the process, and nothing is ever cleaned from the outbox.
 */
import type { FeedMessage, SessionUpdated } from '../actors/feed-message.ts'
import type { MailEntry } from '../actors/mail.ts'
import { PARTITIONS, partitionOf } from '../actors/partitions.ts'
import type { CommandKey, CommittedTransition, Downtime, Due, Look, ServedVersions } from '../actors/ports.ts'
import type { EndReason, Epoch, Position, SessionId, SessionRecord } from '../actors/session.ts'
import { MemoryPresence } from './memory-presence.ts'
import { DOWNTIME_MS, MAIL_WAITS_MS, SWEEP_LEASE_MS, TOLD_MS } from './store-times.ts'

/** What a session's record remembers of the last commit of each process. */
export interface Writer {
  readonly node: string
  readonly number: number
  readonly firstVersion: number
  readonly version: number
  readonly epoch: Epoch
  readonly time: number
}

interface Kept {
  /** Until when it is there; `null`: until it is replaced. */
  readonly keptUntilMs: number | null
  readonly writers: readonly Writer[]
}

export interface KeptRecord extends Kept {
  readonly kind: 'record'
  readonly record: SessionRecord
  readonly done: boolean
  /** Who has the next turn. */
  readonly reservation: { readonly node: string; readonly untilMs: number } | null
}

/** What is left of a session for a while after its end. */
export interface Tombstone extends Kept {
  readonly kind: 'tombstone'
  readonly position: Position
  readonly reason: EndReason
}

/** A committed transition, as the audit gets it. */
export interface AuditedTransition extends Position {
  readonly id: SessionId
  readonly commitId: string
  /** The commit before it in this epoch; `null`: it is the first. */
  readonly previous: string | null
  readonly time: number
  readonly kind: CommittedTransition['kind'] | EndReason
  /** JSON text. */
  readonly audit: string
  /** JSON text of the public state after it; empty for an end. */
  readonly state: string
}

export interface KnownKey extends Position {
  readonly fingerprint: string
  readonly untilMs: number
}

interface StoredMail extends MailEntry {
  readonly time: number
}

interface Partition {
  /** By kind, session and process: what is due when. */
  readonly due: Map<string, Due>
  mail: StoredMail[]
  sweeper: { readonly node: string; readonly untilMs: number; readonly atMs: number } | null
  downtime: Downtime | null
}

export class MemoryServer {
  readonly outbox: AuditedTransition[] = []
  readonly presence: MemoryPresence
  readonly #now: () => number
  readonly #sessions = new Map<SessionId, KeptRecord | Tombstone>()
  readonly #histories = new Map<SessionId, readonly SessionUpdated[]>()
  readonly #commandKeys = new Map<SessionId, Map<string, KnownKey>>()
  readonly #partitions: readonly Partition[] = Array.from({ length: PARTITIONS }, () => ({
    due: new Map<string, Due>(),
    mail: [],
    sweeper: null,
    downtime: null,
  }))
  readonly #processes = new Map<string, { readonly served: ServedVersions; readonly atMs: number }>()
  readonly #listeners = new Set<(message: FeedMessage) => void>()
  #mailCount = 0

  /** @param now its clock: whole ms since 1970, never going back */
  constructor(now: () => number) {
    this.#now = now
    this.presence = new MemoryPresence(now, (change) => this.publish(change))
  }

  now(): number {
    return this.#now()
  }

  find(id: SessionId): KeptRecord | Tombstone | null {
    const kept = this.#sessions.get(id)
    if (kept === undefined) return null
    if (kept.keptUntilMs === null || kept.keptUntilMs >= this.now()) return kept
    this.#sessions.delete(id)
    return null
  }

  keep(id: SessionId, kept: KeptRecord | Tombstone): void {
    this.#sessions.set(id, kept)
  }

  knownKey(id: SessionId, { digest }: CommandKey): KnownKey | null {
    const known = this.#commandKeys.get(id)?.get(digest)
    return known !== undefined && known.untilMs > this.now() ? known : null
  }

  rememberKey(id: SessionId, { digest }: CommandKey, known: KnownKey): void {
    const keys = this.#commandKeys.get(id) ?? new Map<string, KnownKey>()
    this.#commandKeys.set(id, keys.set(digest, known))
  }

  /** The last commits of a session that keeps some. */
  historyOf(id: SessionId): readonly SessionUpdated[] {
    return this.find(id)?.kind === 'record' ? (this.#histories.get(id) ?? []) : []
  }

  /** @param count how many are kept with this one */
  remember(message: SessionUpdated, count: number): void {
    const before = this.#histories.get(message.id) ?? []
    this.#histories.set(message.id, [...before, message].slice(-count))
  }

  forgetHistory(id: SessionId): void {
    this.#histories.delete(id)
  }

  forgetKeys(id: SessionId): void {
    this.#commandKeys.delete(id)
  }

  dueAt(kind: Due['kind'], id: SessionId, node = ''): number | null {
    return this.#of(id).due.get(dueKey(kind, id, node))?.dueMs ?? null
  }

  setDue(due: Due): void {
    const node = due.kind === 'lease' ? due.node : ''
    this.#of(due.id).due.set(dueKey(due.kind, due.id, node), due)
  }

  clearDue(kind: Due['kind'], id: SessionId, node = ''): void {
    this.#of(id).due.delete(dueKey(kind, id, node))
  }

  /** See `look.lua`. */
  look(partition: number, node: string, horizonMs: number, limit: number, skip: number): Look {
    const home = this.#at(partition)
    const nowMs = this.now()
    const { sweeper } = home
    if (sweeper !== null && sweeper.node !== node && sweeper.untilMs > nowMs)
      return { due: [], hasMail: false, downtime: home.downtime }
    if (sweeper !== null && nowMs - sweeper.atMs > DOWNTIME_MS)
      home.downtime = { fromMs: sweeper.atMs, toMs: nowMs }
    home.sweeper = { node, untilMs: nowMs + SWEEP_LEASE_MS, atMs: nowMs }
    const due = [...home.due]
      .filter(([, { dueMs }]) => dueMs <= nowMs + horizonMs)
      .sort(([a, { dueMs: aMs }], [b, { dueMs: bMs }]) => aMs - bMs || (a < b ? -1 : 1))
      .slice(skip, skip + limit)
      .map(([, each]) => each)
    const hasMail = home.mail.some(({ time }) => time <= nowMs - MAIL_WAITS_MS)
    return { due, hasMail, downtime: home.downtime }
  }

  /** All that is due at some time, in no order. */
  *dues(): Iterable<Due> {
    for (const { due } of this.#partitions) yield* due.values()
  }

  /** Time has passed in which these processes looked after the partitions and told what they serve, as it were. */
  pretendCare(ms: number, nodes: readonly string[]): void {
    if (nodes.length === 0) return
    for (const node of nodes) {
      const told = this.#processes.get(node)
      if (told !== undefined) this.#processes.set(node, { ...told, atMs: told.atMs + ms })
    }
    for (const partition of this.#partitions) {
      const { sweeper } = partition
      if (sweeper === null) continue
      partition.sweeper = { ...sweeper, untilMs: sweeper.untilMs + ms, atMs: sweeper.atMs + ms }
    }
  }

  /** See `announce.lua`. */
  announce(node: string, served: ServedVersions | null): ServedVersions[] {
    if (served === null) this.#processes.delete(node)
    else this.#processes.set(node, { served, atMs: this.now() })
    for (const [other, { atMs }] of this.#processes)
      if (atMs + TOLD_MS < this.now()) this.#processes.delete(other)
    return [...this.#processes].filter(([other]) => other !== node).map(([, each]) => each.served)
  }

  post(mail: Omit<MailEntry, 'entryId'>): void {
    this.#of(mail.from).mail.push({ ...mail, entryId: String(++this.#mailCount), time: this.now() })
  }

  /** `afterId` `''`: from the oldest. */
  mail(partition: number, afterId: string, limit: number): MailEntry[] {
    return this.#at(partition)
      .mail.filter(({ entryId }) => Number(entryId) > Number(afterId))
      .slice(0, limit)
      .map(({ time: _, ...entry }) => entry)
  }

  hasMail(partition: number, entryIds: readonly string[]): boolean[] {
    const there = new Set(this.#at(partition).mail.map(({ entryId }) => entryId))
    return entryIds.map((id) => there.has(id))
  }

  get hasAnyMail(): boolean {
    return this.#partitions.some(({ mail }) => mail.length > 0)
  }

  deleteMail(partition: number, entries: readonly MailEntry[]): void {
    const gone = new Set(entries.map(({ entryId, commitId }) => `${entryId} ${commitId}`))
    const home = this.#at(partition)
    home.mail = home.mail.filter(({ entryId, commitId }) => !gone.has(`${entryId} ${commitId}`))
  }

  /** @returns how to hear no more */
  listen(listener: (message: FeedMessage) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** A little later, as over a connection, and mostly before the reply of the commit. */
  publish(message: FeedMessage): void {
    for (const listener of this.#listeners)
      queueMicrotask(() => {
        if (this.#listeners.has(listener)) listener(message)
      })
  }

  #of(id: SessionId): Partition {
    return this.#at(partitionOf(id))
  }

  #at(partition: number): Partition {
    const found = this.#partitions[partition]
    if (found === undefined) throw new RangeError(`partition ${partition} is not in 0 to ${PARTITIONS - 1}`)
    return found
  }
}

/** As in Redis' sorted set, so that what is due at the same time comes in the same order. */
function dueKey(kind: Due['kind'], id: SessionId, node: string): string {
  return kind === 'lease' ? `r:${id} ${node}` : kind === 'timer' ? `t:${id}` : `x:${id}`
}
