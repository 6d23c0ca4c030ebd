/**
 * Reading the oldest entries of outboxes and deleting exactly those. The outbox is the truth: an entry leaves it
 * only after PostgreSQL has committed it.
 */
import type { Redis } from 'ioredis'
import { messageOf } from '../../actors/errors.ts'
import type { Keys } from '../keys.ts'
import { Script } from '../scripts.ts'
import type { OutboxEntry } from './entry.ts'

/** What a read should bring at most, so that a few large sessions do not fill the thread's memory. */
const READ_BYTES = 4_000_000
/** Entries deleted in one script call: Redis serves nobody else while it runs. */
const DELETE_CHUNK = 64

/** Redis could not be reached, or did not do what it was asked. */
export class OutboxFailure extends Error {
  constructor(cause: unknown) {
    super(messageOf(cause), { cause })
    this.name = 'OutboxFailure'
  }

  /** A connection that left a command unanswered may never answer again, though it is open: a new one is needed. */
  get isSilence(): boolean {
    return this.message === 'Command timed out'
  }
}

/** Which entry to delete, and the commit it must hold (`''`: none). */
export interface OutboxReference {
  readonly partition: number
  readonly streamId: string
  readonly commitId: string | Buffer
}

export interface OutboxDepth {
  readonly partition: number
  /** Entries. */
  readonly length: number
  /** Id of the oldest one, `''` if there is none. */
  readonly oldest: string
  /** Age of the oldest one in ms, by Redis' clock. */
  readonly oldestMs: number
}

/** The outboxes of all partitions. Every method throws OutboxFailure. */
export class Outbox {
  readonly #redis: Redis
  readonly #keys: Keys
  readonly #deleteScript = new Script('delete-outbox')
  readonly #deleteEachScript = new Script('delete-each')
  readonly #peekScript = new Script('peek-outbox')
  /** Mean size of the entries read lately; starts high, so that the first read is a small one. */
  #entryBytes = 32_000

  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis
    this.#keys = keys
  }

  /**
   * The oldest entries of these partitions, at most `limit` of each and about 4 MB in all; partition by partition, each
   * in its order. One round trip as long as entries are of ordinary size.
   *
   * @returns `more`: there may be others behind them.
   */
  async readOldest(
    partitions: readonly number[],
    limit: number,
  ): Promise<{ entries: OutboxEntry[]; more: boolean }> {
    let open = partitions.map((partition) => ({ partition, after: '-', entries: [] as OutboxEntry[] }))
    const all = open
    let left = READ_BYTES
    let more = false
    while (open.length > 0 && left > 0) {
      const share = Math.max(1, Math.floor(left / open.length / this.#entryBytes))
      const reads = open.map((each) => ({ ...each, count: Math.min(share, limit - each.entries.length) }))
      const answers = await ask(
        Promise.all(
          reads.map(({ partition, after, count }) =>
            this.#redis.xrangeBuffer(this.#keys.outbox(partition), after, '+', 'COUNT', count),
          ),
        ),
      )
      let bytes = 0
      let read = 0
      open = open.filter((each, index) => {
        const found = answers[index] ?? []
        for (const [id, fields] of found) {
          const streamId = id.toString('latin1')
          for (const field of fields) bytes += field.length
          each.entries.push({ partition: each.partition, streamId, fields })
          each.after = `(${streamId}`
        }
        read += found.length
        return found.length === reads[index]?.count
      })
      if (read > 0) this.#entryBytes = Math.max(1, bytes / read)
      left -= bytes
      more ||= open.some(({ entries }) => entries.length >= limit)
      open = open.filter(({ entries }) => entries.length < limit)
    }
    return { entries: all.flatMap(({ entries }) => entries), more: more || open.length > 0 }
  }

  /** The fields of one entry byte for byte, names and values in turn; `null` if it is gone. */
  async readRaw(partition: number, streamId: string): Promise<Buffer[] | null> {
    const found = await ask(this.#redis.xrangeBuffer(this.#keys.outbox(partition), streamId, streamId))
    return found[0]?.[1] ?? null
  }

  /**
   * Deletes entries that still hold their commits.
   *
   * @param references of each partition one behind the other, in the order of its stream.
   */
  async delete(references: readonly OutboxReference[]): Promise<void> {
    const calls: Promise<unknown>[] = []
    for (const { partition, chunk } of chunksOf(references)) {
      const ids = chunk.map(({ streamId }) => streamId)
      const newest = chunk.at(-1)?.commitId ?? ''
      const call = this.#deleteScript.run(this.#redis, [this.#keys.outbox(partition)], [newest, ...ids])
      calls.push(call.then((deleted) => (Number(deleted) < 0 ? this.deleteEach(chunk) : undefined)))
    }
    await ask(Promise.all(calls))
  }

  /** As {@link delete}, in any order, and looking at every entry by itself. */
  async deleteEach(references: readonly OutboxReference[]): Promise<void> {
    const calls: Promise<unknown>[] = []
    for (const { partition, chunk } of chunksOf(references)) {
      const pairs = chunk.flatMap(({ streamId, commitId }) => [streamId, commitId])
      calls.push(this.#deleteEachScript.run(this.#redis, [this.#keys.outbox(partition)], pairs))
    }
    await ask(Promise.all(calls))
  }

  /** What waits in each of the partitions. */
  async peek(partitions: readonly number[]): Promise<OutboxDepth[]> {
    const calls = partitions.map((partition) =>
      this.#peekScript.run(this.#redis, [this.#keys.outbox(partition)], []),
    )
    const answers = (await ask(Promise.all(calls))) as [number, string, number][]
    return answers.map(([length, oldest, now], index) => ({
      partition: partitions[index] ?? -1,
      length,
      oldest,
      oldestMs: oldest === '' ? 0 : Math.max(0, now - Number(oldest.split('-')[0])),
    }))
  }
}

/** Neighbours of one partition, as many as one call deletes. */
function chunksOf(references: readonly OutboxReference[]): { partition: number; chunk: OutboxReference[] }[] {
  const chunks: { partition: number; chunk: OutboxReference[] }[] = []
  for (const reference of references) {
    const last = chunks.at(-1)
    if (last?.partition === reference.partition && last.chunk.length < DELETE_CHUNK)
      last.chunk.push(reference)
    else chunks.push({ partition: reference.partition, chunk: [reference] })
  }
  return chunks
}

async function ask<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw new OutboxFailure(error)
  }
}
