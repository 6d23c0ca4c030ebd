/**
 * What does a commit cost in the batched script, beside one hand-written script per update? Both are awaited, so
 * this is Redis, loopback and client library together, with 1 to 128 updates under way at once.
 *
 * `--redis-url` names a Redis; without, one is started under `.troupe/bench`.
 */
import { parseArgs } from 'node:util'
import type { Logger } from '../actors/ports.ts'
import { Keys } from '../persistence/keys.ts'
import { RedisSessionStore } from '../persistence/redis-session-store.ts'
import { connectBaseline } from './baseline/scripts.ts'
import { BasketCommits } from './machines/basket-commits.ts'
import { createBasket, nthEvent } from './machines/basket-session.ts'
import { BenchRedis } from './support/bench-redis.ts'
import { compareCosts } from './support/cost.ts'
import { withServers } from './support/servers.ts'

const TTL_MS = 3_600_000
const SIZES = [1, 8, 32, 128]

const { values: flags } = parseArgs({ options: { 'redis-url': { type: 'string' } }, strict: false })
const givenUrl = typeof flags['redis-url'] === 'string' ? flags['redis-url'] : undefined
const { record } = createBasket()
const event = JSON.stringify(nthEvent(1))

const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (_details, message) => console.log(message),
  error: (_details, message) => console.log(message),
}

class HandWritten {
  readonly #redis: ReturnType<typeof connectBaseline>
  readonly #prefix: string
  readonly #ids: readonly string[]
  #version = 1

  constructor(redis: ReturnType<typeof connectBaseline>, prefix: string, size: number) {
    this.#redis = redis
    this.#prefix = prefix
    this.#ids = Array.from({ length: size }, (_, n) => `hand-${size}-${n}`)
  }

  async create(): Promise<void> {
    const outbox = `${this.#prefix}:outbox`
    await Promise.all(
      this.#ids.map((id) =>
        this.#redis.baselineCreate(`${this.#prefix}:${id}`, outbox, recordText(1), TTL_MS, id),
      ),
    )
  }

  async update(): Promise<void> {
    const base = String(this.#version++)
    const text = recordText(this.#version)
    const outbox = `${this.#prefix}:outbox`
    const answers = await Promise.all(
      this.#ids.map((id) =>
        this.#redis.baselineUpdate(`${this.#prefix}:${id}`, outbox, base, text, TTL_MS, id, event, 'bench'),
      ),
    )
    if (answers.some((answer) => answer !== 1)) throw new Error('an update by hand was refused')
  }
}

await withServers({ redisUrl: givenUrl, databaseUrl: null }, ({ redisUrl }) => compare(redisUrl))

async function compare(redisUrl: string): Promise<void> {
  const prefix = `troupe-bench-commit-${Date.now().toString(36)}`
  const bench = new BenchRedis(redisUrl)
  const baseline = connectBaseline(redisUrl)
  const keys = new Keys(`${prefix}:ours`)
  const store = new RedisSessionStore({
    url: redisUrl,
    keys,
    node: 'bench1',
    commandKeyTtlMs: 120_000,
    log: silent,
  })
  try {
    await store.start()
    for (const size of SIZES) {
      const byHand = new HandWritten(baseline, `${prefix}:hand`, size)
      const ours = new BasketCommits(store, `ours-${size}`, size)
      await byHand.create()
      await ours.create()
      await compareCosts(
        `cost-of-a-commit-${size}`,
        `${size} update(s) of as many sessions at once: what does each cost?`,
        [
          {
            name: 'by hand: one script call an update, pipelined',
            operations: size,
            run: () => byHand.update(),
          },
          { name: 'commit.lua, one call', operations: size, run: () => ours.update() },
        ],
      )
    }
  } finally {
    store.stop()
    baseline.disconnect()
    await bench.clear(prefix)
    await bench.close()
  }
}

function recordText(version: number): string {
  return `${version}\n${record.epoch}\n${record.state}\n${record.internals}`
}
