/** Store entries in short, and a look at everything that a commit may touch. */
import { Redis } from 'ioredis'
import { partitionOf } from '../../actors/partitions.ts'
import type {
  CheckEntry,
  CommandKey,
  CommitEntry,
  CommittedTransition,
  EndEntry,
  SessionStore,
  StoreEntry,
  StoreOutcome,
} from '../../actors/ports.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import type { TestCluster } from '../support/hosts.ts'

export function stateOf(n: number): string {
  return JSON.stringify({ status: 'active', value: 'on', context: { n }, tags: [], accepts: ['ADD'] })
}

export function transition(n: number, key: CommandKey | null = null): CommittedTransition {
  return {
    kind: 'event',
    audit: JSON.stringify({ event: { type: 'ADD', n } }),
    state: stateOf(n),
    key,
    mail: [],
  }
}

export function key(digest: string, fingerprint = 'f1'): CommandKey {
  return { digest, fingerprint }
}

/** One process as the store sees it: numbers its commits. */
export class Writer {
  readonly store: SessionStore
  #number = 0

  constructor(store: SessionStore) {
    this.store = store
  }

  creation(id: SessionId, more: Partial<CommitEntry> = {}): CommitEntry {
    return this.#commit(id, null, {
      events: '[]',
      transitions: [{ ...transition(0), kind: 'created' }],
      ...more,
    })
  }

  commit(id: SessionId, base: Position, more: Partial<CommitEntry> = {}): CommitEntry {
    return this.#commit(id, base, { transitions: [transition(base.version + 1)], ...more })
  }

  deletion(id: SessionId): EndEntry {
    return this.#end(id, 'deleted')
  }

  expiry(id: SessionId): EndEntry {
    return this.#end(id, 'expired')
  }

  check(id: SessionId, base: Position | null, keys: readonly CommandKey[] = []): CheckEntry {
    return { kind: 'check', id, base, keys, reserve: false }
  }

  async run(entry: StoreEntry): Promise<StoreOutcome> {
    return (await this.store.execute([entry]))[0] as StoreOutcome
  }

  /** @throws unless it was committed */
  async write(entry: StoreEntry): Promise<Extract<StoreOutcome, { kind: 'committed' }>> {
    const outcome = await this.run(entry)
    if (outcome.kind !== 'committed') throw new Error(`not committed: ${JSON.stringify(outcome)}`)
    return outcome
  }

  #commit(id: SessionId, base: Position | null, more: Partial<CommitEntry>): CommitEntry {
    return {
      kind: 'commit',
      id,
      keys: [],
      reserve: false,
      number: ++this.#number,
      base,
      machine: 'counter',
      machineVersion: 1,
      ttlMs: 3_600_000,
      doneTtlMs: 3_600_000,
      done: false,
      transitions: [],
      internals: '{}',
      timers: '-',
      runs: '-',
      firesAt: null,
      events: '["ADD"]',
      emitted: [],
      history: 0,
      ...more,
    }
  }

  #end(id: SessionId, reason: EndEntry['reason']): EndEntry {
    return { kind: 'end', id, keys: [], reserve: false, number: ++this.#number, reason, audit: '{}' }
  }
}

/** A row of the outbox, by its one-letter fields. */
type Row = Readonly<Record<string, string>>

/** Everything of one session in Redis. */
export interface Traces {
  readonly record: string | null
  /** -1: never. */
  readonly keyTtlMs: number
  /** Score of its expiry entry. */
  readonly expiryEntry: number | null
  readonly rows: readonly Row[]
  readonly commandKeys: Readonly<Record<string, string>>
}

export async function tracesOf({ redis, keys }: TestCluster, id: SessionId): Promise<Traces> {
  const partition = partitionOf(id)
  const [record, keyTtlMs, score, entries, commandKeys] = await Promise.all([
    redis.get(keys.session(id)),
    redis.pttl(keys.session(id)),
    redis.zscore(keys.timers(partition), `x:${id}`),
    redis.xrange(keys.outbox(partition), '-', '+'),
    redis.hgetall(keys.commandKeys(id)),
  ])
  const rows = entries.map(([, fields]) => rowOf(fields)).filter((row) => row['i'] === id)
  return { record, keyTtlMs, expiryEntry: score === null ? null : Number(score), rows, commandKeys }
}

const WORDS = ['i', 'e', 'v', 'c', 'p', 'k', 't']

/** An entry with the words of its head as fields: id, epoch, version, commit, the one before it, kind, time. */
function rowOf(fields: readonly string[]): Row {
  const { h = '', ...rest } = Object.fromEntries(pairs(fields))
  const words = h
    .split(' ')
    .map((word, index): [string, string] => [WORDS[index] ?? '?', word === '-' ? '' : word])
  return { ...Object.fromEntries(words), ...rest }
}

/** What must not change where nothing was committed: everything but a reservation, and the time that passes. */
export async function stateIn(cluster: TestCluster, id: SessionId): Promise<Omit<Traces, 'keyTtlMs'>> {
  const { record, expiryEntry, rows, commandKeys } = await tracesOf(cluster, id)
  return { record: record?.replace(RESERVATION, '$1-$2') ?? null, expiryEntry, rows, commandKeys }
}

const RESERVATION = /^(3 \d+ \d+ )\S+( )/

export function reservationIn(record: string | null): string | undefined {
  return record?.split('\n')[0]?.split(' ')[3]
}

/** Hears both channels of a session. */
export class Listener {
  readonly ofSession: string[] = []
  readonly ofPartition: string[] = []
  readonly #redis: Redis

  private constructor(redis: Redis) {
    this.#redis = redis
  }

  static async on(cluster: TestCluster, id: SessionId): Promise<Listener> {
    const redis = new Redis(cluster.url)
    const listener = new Listener(redis)
    const channel = cluster.keys.channel(id)
    redis.on('smessage', (from: string, text: string) => {
      if (from === channel) listener.ofSession.push(text)
      else if (text.slice(1).startsWith(`${id}\n`)) listener.ofPartition.push(text)
    })
    await redis.hset(cluster.keys.home(partitionOf(id)), 'listeners', '1')
    await redis.ssubscribe(channel, cluster.keys.partitionChannel(partitionOf(id)))
    return listener
  }

  /** All that was published before now has arrived: messages of a connection keep their order. */
  async settled(): Promise<void> {
    await this.#redis.ping()
  }

  stop(): void {
    this.#redis.disconnect()
  }
}

function pairs(fields: readonly string[]): [string, string][] {
  return Array.from({ length: fields.length / 2 }, (_, n) => [fields[2 * n] ?? '', fields[2 * n + 1] ?? ''])
}
