/** Who is subscribed to sessions, in Redis: the presence port. */
import type { Redis } from 'ioredis'
import { PRESENCE_LEASE_MS } from '../actors/presence.ts'
import type { PresenceAnswer, PresenceEntry } from '../actors/presence.ts'
import type { Keys } from './keys.ts'
import { Script } from './scripts.ts'
import { PRESENCE_GRACE_MS } from './store-times.ts'

export class RedisPresence {
  readonly #redis: Redis
  readonly #keys: Keys
  readonly #node: string
  /** Read from its file when somebody is present for the first time. */
  #script: Script | null = null

  constructor(redis: Redis, keys: Keys, node: string) {
    this.#redis = redis
    this.#keys = keys
    this.#node = node
  }

  /** See `PresenceStore`; rejects with the client library's own errors. */
  async tell(entries: readonly PresenceEntry[]): Promise<PresenceAnswer[]> {
    this.#script ??= new Script('tell-presence')
    const keys = entries.map(({ id }) => this.#keys.presence(id))
    const args = entries.flatMap((entry) => this.#argumentsOf(entry))
    const head = [this.#node, PRESENCE_LEASE_MS, PRESENCE_GRACE_MS]
    const answers = (await this.#script.run(this.#redis, keys, [...head, ...args])) as [
      string,
      number,
      ...string[],
    ][]
    return answers.map(([number, isComplete, ...roster]) => ({
      number: Number(number),
      isComplete: isComplete === 1,
      roster,
    }))
  }

  #argumentsOf({ id, count, isWhole, wantsRoster, joined, left }: PresenceEntry): (string | number)[] {
    const flags = [isWhole ? 1 : 0, wantsRoster ? 1 : 0]
    return [
      id,
      this.#keys.channel(id),
      count,
      ...flags,
      joined.size,
      ...[...joined].flat(),
      left.length,
      ...left,
    ]
  }
}
