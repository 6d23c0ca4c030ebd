/** Sessions in Redis: the store port on one server. */
import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { messageOf } from '../actors/errors.ts'
import { encodeBroadcast, parseFeedMessage } from '../actors/feed-message.ts'
import type { SessionUpdated } from '../actors/feed-message.ts'
import type { MailEntry } from '../actors/mail.ts'
import { PARTITIONS, partitionOf } from '../actors/partitions.ts'
import { StoreFailure } from '../actors/ports.ts'
import type { PresenceAnswer, PresenceEntry } from '../actors/presence.ts'
import type {
  Due,
  Logger,
  Look,
  ServedVersions,
  SessionStore,
  StoreEntry,
  StoreOutcome,
} from '../actors/ports.ts'
import { HEAD_LENGTH, parseHead, parseRecord } from '../actors/record-text.ts'
import { compareEpochs, comparePositions } from '../actors/session.ts'
import type { Epoch, Position, SessionId, SessionRecord } from '../actors/session.ts'
import { encodeCall } from './commit-arguments.ts'
import { isRefusal, parseOutcome } from './commit-results.ts'
import type { Reply } from './commit-results.ts'
import type { Keys } from './keys.ts'
import { parseMailEntry } from './mail-entry.ts'
import { agreeOnLayout } from './layout.ts'
import { readPressure } from './redis-pressure.ts'
import type { RedisPressure } from './redis-pressure.ts'
import { RedisPresence } from './redis-presence.ts'
import { connectRedis, whenReady } from './redis.ts'
import { Script } from './scripts.ts'
import { ReplySeal } from './stray-replies.ts'
import { DOWNTIME_MS, MAIL_WAITS_MS, SWEEP_LEASE_MS, TOLD_MS } from './store-times.ts'

export interface RedisSessionStoreOptions {
  readonly url: string
  readonly keys: Keys
  /** Id of this process among the writers: letters and digits, unique for each start. */
  readonly node: string
  readonly commandKeyTtlMs: number
  readonly log: Logger
}

const CONNECT_TIMEOUT_MS = 5000
const COMPARE_RETRY_MS = 200

export class RedisSessionStore implements SessionStore {
  readonly node: string
  /** The server took back commits, or may have: whatever was read before must be read again. */
  onEpochsRaised: () => void = () => undefined
  readonly #options: RedisSessionStoreOptions
  readonly #keys: Keys
  /** Commits go out as they are batched by the caller; everything else is pipelined by the tick. */
  readonly #commits: Redis
  readonly #reads: Redis
  readonly #readSeal: ReplySeal
  /** Reads that are not sent yet, as those of one turn are sent together at its end: who asks for the same joins them. */
  readonly #asked = new Map<SessionId, Promise<SessionRecord | null>>()
  readonly #commit = new Script('commit')
  readonly #checkHomes = new Script('check-homes')
  readonly #look = new Script('look')
  readonly #deleteEach = new Script('delete-each')
  readonly #renew = new Script('renew-leases')
  readonly #announce = new Script('announce')
  readonly #presence: RedisPresence
  #secret: Buffer | null = null
  #floors: readonly Epoch[] = Array.from({ length: PARTITIONS }, () => '')
  /** Whether the server behind the present connection was compared, and what resolves when it is. */
  #isCompared = false
  #comparing: Promise<void> = Promise.resolve()
  /** The connection on which a comparison is under way. */
  #comparedOver: unknown = null
  #wasCompared = false
  /** Redis' clock when it was last told, and our own then. */
  #time = 0
  #toldAt = 0

  constructor(options: RedisSessionStoreOptions) {
    this.#options = options
    this.node = options.node
    this.#keys = options.keys
    this.#commits = connectRedis(options.url, `troupe-commits-${options.node}`, options.log)
    this.#reads = connectRedis(options.url, `troupe-reads-${options.node}`, options.log, {
      enableAutoPipelining: true,
    })
    this.#presence = new RedisPresence(this.#reads, options.keys, options.node)
    this.#readSeal = new ReplySeal(this.#reads)
    this.#reads.on('close', () => {
      this.#isCompared = false
    })
    this.#reads.on('ready', () => this.#compareAgain())
  }

  /** Connects, agrees on the layout. @throws Error that says what is wrong */
  async start(): Promise<void> {
    await Promise.all([
      whenReady(this.#commits, CONNECT_TIMEOUT_MS),
      whenReady(this.#reads, CONNECT_TIMEOUT_MS),
    ])
    await agreeOnLayout(this.#commits, this.#keys).catch((error: unknown) => {
      throw isCommandFailure(error) ? asFailure(error) : error
    })
    await this.#whenCompared()
  }

  stop(): void {
    this.#commits.disconnect()
    this.#reads.disconnect()
  }

  isReady(): boolean {
    return this.#commits.status === 'ready' && this.#reads.status === 'ready'
  }

  /** Whether Redis answers on both connections within `timeoutMs`: an open one may lead to a server that hangs. */
  async answers(timeoutMs: number): Promise<boolean> {
    const pings = Promise.all([this.#commits.ping(), this.#reads.ping()]).then(
      () => true,
      () => false,
    )
    const silence = new AbortController()
    const late = sleep(timeoutMs, false, { signal: silence.signal }).catch(() => false)
    return Promise.race([pings, late]).finally(() => silence.abort())
  }

  /** How full the server is. @throws Error of Redis */
  pressure(): Promise<RedisPressure> {
    return readPressure(this.#reads, this.#keys)
  }

  /** 32 random bytes, the same for all processes, as long as Redis keeps them. @throws Error of Redis */
  async secret(): Promise<Buffer> {
    if (this.#secret === null) {
      const own = randomBytes(32).toString('base64')
      const known = await this.#reads.set(this.#keys.secret, own, 'NX', 'GET')
      this.#secret = Buffer.from(known ?? own, 'base64')
    }
    return this.#secret
  }

  async execute(entries: readonly StoreEntry[]): Promise<StoreOutcome[]> {
    if (this.#commits.status !== 'ready') throw new StoreFailure('not-applied', 'Redis is not connected')
    const { commandKeyTtlMs } = this.#options
    const { keys, args, writers } = encodeCall(entries, this.#keys, this.node, commandKeyTtlMs)
    const replies = await this.#commit.run(this.#commits, keys, args).catch((error: unknown) => {
      throw asFailure(error)
    })
    const outcomes = (replies as Reply[]).map((reply, index) => {
      const entry = entries[index] as StoreEntry
      const outcome = parseOutcome(entry, reply, writers[index] ?? null)
      if (outcome.kind === 'committed') this.#tellTime(outcome.time)
      if (tellsNewFloor(entry, outcome, reply)) this.#isCompared = false
      return outcome
    })
    if (!this.#isCompared) this.#compareAgain()
    return outcomes
  }

  async read(id: SessionId): Promise<SessionRecord | null> {
    await this.#whenCompared()
    let asked = this.#asked.get(id)
    if (asked === undefined) {
      asked = this.#read(id)
      if (this.#asked.size === 0) setImmediate(() => this.#asked.clear())
      this.#asked.set(id, asked)
    }
    return asked
  }

  async #read(id: SessionId): Promise<SessionRecord | null> {
    const [text] = await Promise.all([
      this.#reads.get(this.#keys.session(id)),
      // A record does not say whose it is.
      this.#readSeal.proven(),
    ]).catch((error: unknown) => {
      throw asFailure(error)
    })
    const record = text === null ? null : parseRecord(id, text)
    if (
      record === null ||
      (record.timers === '-' &&
        record.runs === '-' &&
        record.expiresAt !== null &&
        record.expiresAt <= this.now())
    )
      return null
    const floor = this.#floors[partitionOf(id)] ?? ''
    return compareEpochs(record.epoch, floor) < 0 ? { ...record, epoch: floor } : record
  }

  async history(id: SessionId, count: number): Promise<SessionUpdated[]> {
    await this.#whenCompared()
    const texts = await this.#reads.lrange(this.#keys.history(id), -count, -1).catch((error: unknown) => {
      throw asFailure(error)
    })
    return texts.map(parseFeedMessage).filter((message) => message?.kind === 'updated')
  }

  async positions(ids: readonly SessionId[]): Promise<(Position | null)[]> {
    await this.#whenCompared()
    const starts = await Promise.all(
      ids.map((id) => this.#reads.getrange(this.#keys.session(id), 0, HEAD_LENGTH - 1)),
    ).catch((error: unknown) => {
      throw asFailure(error)
    })
    return starts.map((start, index) => {
      const head = parseHead(start)
      if (head === null) return null
      const position = { epoch: head.epoch, version: head.version }
      const floor = { epoch: this.#floors[partitionOf(ids[index] ?? '')] ?? '', version: position.version }
      return comparePositions(position, floor) < 0 ? floor : position
    })
  }

  async broadcast(id: SessionId, message: string): Promise<void> {
    await this.#whenCompared()
    await this.#reads
      .spublish(this.#keys.channel(id), encodeBroadcast(id, message))
      .catch((error: unknown) => {
        throw asFailure(error)
      })
  }

  /** From now on commits of every partition are published for whoever listens to all sessions. */
  async announceListener(): Promise<void> {
    const homes = Array.from({ length: PARTITIONS }, (_, partition) => this.#keys.home(partition))
    await Promise.all(homes.map((home) => this.#reads.hset(home, 'listeners', '1'))).catch(
      (error: unknown) => {
        throw asFailure(error)
      },
    )
  }

  async look(partition: number, horizonMs: number, limit: number, skip = 0): Promise<Look> {
    const keys = [this.#keys.home(partition), this.#keys.timers(partition), this.#keys.mail(partition)]
    const args = [this.node, SWEEP_LEASE_MS, horizonMs, limit, DOWNTIME_MS, MAIL_WAITS_MS, skip]
    const [downtime, hasMail, ...found] = (await this.#look
      .run(this.#reads, keys, args)
      .catch((error: unknown) => {
        throw asFailure(error)
      })) as [string, number, ...string[]]
    const [fromMs, toMs] = downtime.split(' ').map(Number)
    return {
      due: Array.from({ length: found.length / 2 }, (_, index) =>
        parseDue(found[2 * index] ?? '', Number(found[2 * index + 1])),
      ),
      hasMail: hasMail === 1,
      downtime: fromMs === undefined || toMs === undefined ? null : { fromMs, toMs },
    }
  }

  async mail(partition: number, afterId: string, limit: number): Promise<MailEntry[]> {
    const from = afterId === '' ? '-' : `(${afterId}`
    const entries = await this.#reads
      .xrange(this.#keys.mail(partition), from, '+', 'COUNT', limit)
      .catch((error: unknown) => {
        throw asFailure(error)
      })
    return entries.map(([entryId, fields]) => parseMailEntry(entryId, fields))
  }

  async hasMail(partition: number, entryIds: readonly string[]): Promise<boolean[]> {
    const key = this.#keys.mail(partition)
    const found = await Promise.all(entryIds.map((id) => this.#reads.xrange(key, id, id))).catch(
      (error: unknown) => {
        throw asFailure(error)
      },
    )
    return found.map((entries) => entries.length > 0)
  }

  async deleteMail(partition: number, entries: readonly MailEntry[]): Promise<void> {
    if (entries.length === 0) return
    const args = entries.flatMap(({ entryId, commitId }) => [entryId, commitId])
    await this.#deleteEach.run(this.#reads, [this.#keys.mail(partition)], args).catch((error: unknown) => {
      throw asFailure(error)
    })
  }

  async renew(partition: number, ids: readonly SessionId[], leaseMs: number): Promise<SessionId[]> {
    const lost = await this.#renew
      .run(this.#reads, [this.#keys.timers(partition)], [this.node, leaseMs, ...ids])
      .catch((error: unknown) => {
        throw asFailure(error)
      })
    return lost as SessionId[]
  }

  async announce(served: ServedVersions | null): Promise<ServedVersions[]> {
    const args = [this.node, TOLD_MS, served === null ? '' : JSON.stringify(served)]
    const others = await this.#announce
      .run(this.#reads, [this.#keys.processes], args)
      .catch((error: unknown) => {
        throw asFailure(error)
      })
    return (others as string[]).map((text) => JSON.parse(text) as ServedVersions)
  }

  tellPresence(_partition: number, entries: readonly PresenceEntry[]): Promise<PresenceAnswer[]> {
    return this.#presence.tell(entries).catch((error: unknown) => {
      throw asFailure(error)
    })
  }

  /** Before anything else on a new connection: is it the server that was known, with all its commits? */
  async #compareServer(): Promise<void> {
    const homes = Array.from({ length: PARTITIONS }, (_, partition) => this.#keys.home(partition))
    const [time, floors] = await Promise.all([
      this.#reads.time(),
      this.#checkHomes.run(this.#reads, homes, []),
    ])
    this.#tellTime(Math.floor(Number(time[0]) * 1000 + Number(time[1]) / 1000))
    const raised = (floors as string[]).some((floor, partition) => floor !== this.#floors[partition])
    this.#floors = floors as string[]
    this.#isCompared = true
    if (raised && this.#wasCompared) this.onEpochsRaised()
    this.#wasCompared = true
  }

  /** Tries until it is done, or the connection is another: what is read before may be of an epoch that is over. */
  #compareAgain(): void {
    const { stream } = this.#reads
    if (this.#comparedOver === stream) return
    this.#comparedOver = stream
    const compare = async (): Promise<void> => {
      while (!this.#isCompared && this.#reads.status === 'ready' && this.#reads.stream === stream) {
        try {
          await this.#compareServer()
        } catch (error) {
          this.#options.log.debug({ reason: messageOf(error) }, 'could not compare the Redis server yet')
          await sleep(COMPARE_RETRY_MS)
        }
      }
      if (this.#comparedOver === stream) this.#comparedOver = null
    }
    this.#comparing = compare()
  }

  async #whenCompared(): Promise<void> {
    if (this.#isCompared) return
    await Promise.race([this.#comparing, sleep(CONNECT_TIMEOUT_MS, undefined, { ref: false })])
    if (!this.#isCompared) throw new StoreFailure('not-applied', 'Redis is not connected')
  }

  /** A lower bound of Redis' clock: a session is never called expired too early. */
  now(): number {
    return this.#time + Math.floor(performance.now() - this.#toldAt)
  }

  #tellTime(time: number): void {
    this.#time = time
    this.#toldAt = performance.now()
  }
}

/** A member of the timers set. */
function parseDue(member: string, dueMs: number): Due {
  const [id = '', node = ''] = member.slice(2).split(' ')
  if (member.startsWith('r')) return { kind: 'lease', id: id as SessionId, node, dueMs }
  return { kind: member.startsWith('t') ? 'timer' : 'expiry', id: id as SessionId, dueMs }
}

/** Whether an answer shows that a partition's floor was raised without a new connection. */
function tellsNewFloor(entry: StoreEntry, outcome: StoreOutcome, reply: Reply): boolean {
  if (outcome.kind === 'committed')
    return entry.kind === 'commit' && entry.base !== null && entry.base.epoch !== outcome.epoch
  if (outcome.kind !== 'stale') return false
  return parseHead(String(reply[2]).slice(0, HEAD_LENGTH))?.epoch !== outcome.record.epoch
}

/** An error of a command or its connection, as opposed to one of ours. */
function isCommandFailure(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === 'ReplyError' || /timed out|closed|writeable/i.test(error.message))
  )
}

function asFailure(error: unknown): StoreFailure {
  const message = messageOf(error)
  const isAnswer = error instanceof Error && error.name === 'ReplyError'
  // Of a script that failed on its way nobody knows how far it came, and it would fail again. All else that the server
  // answers with an error was not begun.
  const effect = isAnswer && /user_script|script/i.test(message) && !isRefusal(message) ? 'failed' : 'unknown'
  const surelyNot = isRefusal(message) || message.startsWith("Stream isn't writeable")
  return new StoreFailure(
    surelyNot || (isAnswer && effect === 'unknown') ? 'not-applied' : effect,
    `Redis: ${message}`,
    error,
  )
}
