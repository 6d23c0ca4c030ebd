/** Sessions in Redis: the store port on one server. */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { messageOf } from '../actors/errors.ts'
import { encodeBroadcast } from '../actors/feed-message.ts'
import { PARTITIONS, partitionOf } from '../actors/partitions.ts'
import { StoreFailure } from '../actors/ports.ts'
import type { Logger, SessionStore, StoreEntry, StoreOutcome } from '../actors/ports.ts'
import { POSITION_LENGTH, parsePosition, parseRecord } from '../actors/record-text.ts'
import { compareEpochs, comparePositions } from '../actors/session.ts'
import type { Epoch, Position, SessionId, SessionRecord } from '../actors/session.ts'
import { encodeCall } from './commit-arguments.ts'
import { isRefusal, parseOutcome } from './commit-results.ts'
import type { Keys } from './keys.ts'
import { agreeOnLayout } from './layout.ts'
import { connectRedis, whenReady } from './redis.ts'
import { Script } from './scripts.ts'

export interface RedisSessionStoreOptions {
  readonly url: string
  readonly keys: Keys
  /** Id of this process among the writers: letters and digits, unique for each start. */
  readonly node: string
  readonly commandKeyTtlMs: number
  readonly log: Logger
}

const CONNECT_TIMEOUT_MS = 5000

export class RedisSessionStore implements SessionStore {
  readonly node: string
  /** The server took back commits, or may have: whatever was read before must be read again. */
  onEpochsRaised: () => void = () => undefined
  readonly #options: RedisSessionStoreOptions
  readonly #keys: Keys
  /** Commits go out as they are batched by the caller; everything else is pipelined by the tick. */
  readonly #commits: Redis
  readonly #reads: Redis
  readonly #commit = new Script('commit')
  readonly #checkHomes = new Script('check-homes')
  #floors: readonly Epoch[] = Array.from({ length: PARTITIONS }, () => '')
  /** Resolves once the server behind the present connection was compared; `null` while there is none. */
  #compared: Promise<void> | null = null
  #isCompared = false
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
    this.#reads.on('close', () => {
      this.#isCompared = false
    })
    this.#reads.on('ready', () => {
      this.#compared = this.#compareServer().catch((error: unknown) => {
        options.log.warn(
          { reason: messageOf(error) },
          'could not compare the Redis server with the one known',
        )
      })
    })
  }

  /** Connects, agrees on the layout. @throws Error that says what is wrong */
  async start(): Promise<void> {
    await Promise.all([
      whenReady(this.#commits, CONNECT_TIMEOUT_MS),
      whenReady(this.#reads, CONNECT_TIMEOUT_MS),
    ])
    await agreeOnLayout(this.#commits, this.#keys)
    await this.#compared
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

  async execute(entries: readonly StoreEntry[]): Promise<StoreOutcome[]> {
    if (this.#commits.status !== 'ready') throw new StoreFailure('not-applied', 'Redis is not connected')
    const { keys, args } = encodeCall(entries, this.#keys, this.node, this.#options.commandKeyTtlMs)
    const replies = await this.#commit.run(this.#commits, keys, args).catch((error: unknown) => {
      throw asFailure(error)
    })
    return (replies as [string, ...unknown[]][]).map((reply, index) => {
      const entry = entries[index] as StoreEntry
      const outcome = parseOutcome(entry, reply)
      if (outcome.kind === 'committed') this.#tellTime(outcome.time)
      return outcome
    })
  }

  async read(id: SessionId): Promise<SessionRecord | null> {
    await this.#whenCompared()
    const text = await this.#reads.get(this.#keys.session(id)).catch((error: unknown) => {
      throw asFailure(error)
    })
    const record = text === null ? null : parseRecord(id, text)
    if (record === null || (record.expiresAt !== null && record.expiresAt <= this.#now())) return null
    const floor = this.#floors[partitionOf(id)] ?? ''
    return compareEpochs(record.epoch, floor) < 0 ? { ...record, epoch: floor } : record
  }

  async positions(ids: readonly SessionId[]): Promise<(Position | null)[]> {
    await this.#whenCompared()
    const starts = await Promise.all(
      ids.map((id) => this.#reads.getrange(this.#keys.session(id), 0, POSITION_LENGTH - 1)),
    ).catch((error: unknown) => {
      throw asFailure(error)
    })
    return starts.map((start, index) => {
      const position = parsePosition(start)
      if (position === null) return null
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

  async dueExpiries(partition: number, limit: number): Promise<SessionId[]> {
    const members = await this.#reads
      .zrangebyscore(this.#keys.timers(partition), '-inf', this.#now(), 'LIMIT', 0, limit)
      .catch((error: unknown) => {
        throw asFailure(error)
      })
    return members.map((member) => member.slice(2) as SessionId)
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
    const isFirst = this.#compared === null
    this.#floors = floors as string[]
    this.#isCompared = true
    if (raised && !isFirst) this.onEpochsRaised()
  }

  async #whenCompared(): Promise<void> {
    if (this.#isCompared) return
    if (this.#reads.status !== 'ready') throw new StoreFailure('not-applied', 'Redis is not connected')
    await this.#compared
  }

  /** A lower bound of Redis' clock: a session is never called expired too early. */
  #now(): number {
    return this.#time + Math.floor(performance.now() - this.#toldAt)
  }

  #tellTime(time: number): void {
    this.#time = time
    this.#toldAt = performance.now()
  }
}

function asFailure(error: unknown): StoreFailure {
  const message = messageOf(error)
  const surelyNot = isRefusal(message) || message.startsWith("Stream isn't writeable")
  return new StoreFailure(surelyNot ? 'not-applied' : 'unknown', `Redis: ${message}`, error)
}
