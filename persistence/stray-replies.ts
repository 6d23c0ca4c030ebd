/**
 * Replies that belong to no command, or to another one.
 *
 * A connection's replies are told apart by nothing but their order. If bytes come twice (a broken proxy, a fault of the client library),
 * every reply behind them goes to the wrong command: one session's state would be shown as another's. So replies that matter
 * carry a seal which only their own command knew, and a connection that breaks one is opened anew.
 */
import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'

/** A reply was another command's: what became of one's own is not known. */
class StrayReply extends Error {
  constructor() {
    super('the reply of another command came in place of this one')
    this.name = 'StrayReply'
  }
}

const PREFIX = randomBytes(6).toString('base64url')
let sealed = 0

/** A text that no other command of any process was sent with. */
export function newSeal(): string {
  return `${PREFIX}${(++sealed).toString(36)}`
}

/** @throws StrayReply, after the connection was given up, if this is not the seal that was sent */
export function checkSeal(redis: Redis, seal: string, came: unknown): void {
  if (came === seal) return
  // Not `disconnect`: that waits for the other side, and takes in more of what belongs to nobody.
  redis.stream.destroy()
  throw new StrayReply()
}

/** Seals whatever is asked over a connection without scripts. */
export class ReplySeal {
  readonly #redis: Redis
  #next: Promise<void> | null = null

  constructor(redis: Redis) {
    this.#redis = redis
  }

  /**
   * Resolves when all commands that were sent so far, and until the end of this turn, have got their own replies: the one
   * behind them has. @throws StrayReply
   */
  proven(): Promise<void> {
    this.#next ??= new Promise((resolve, reject) => {
      process.nextTick(() => {
        this.#next = null
        const seal = newSeal()
        this.#redis
          .echo(seal)
          .then((came) => checkSeal(this.#redis, seal, came))
          .then(resolve, reject)
      })
    })
    return this.#next
  }
}

/**
 * Opens the connection anew when a reply comes that nobody waits for. ioredis only reports it, and if it is nil throws where
 * nobody can catch it, which ends the process.
 */
export function refuseStrayReplies(redis: Redis): void {
  redis.on('connect', () => {
    const queue = redis.commandQueue
    const shift = queue.shift.bind(queue)
    let isEmptied = false
    const stray = {
      name: 'stray',
      args: [],
      resolve: () => undefined,
      // ioredis empties its queue by rejecting until there is nothing left.
      reject: () => (isEmptied = true),
    }
    queue.shift = () => {
      const item = shift()
      if (item !== undefined) return item
      if (isEmptied) {
        isEmptied = false
        return undefined
      }
      redis.stream.destroy()
      return { command: stray } as unknown as typeof item
    }
  })
}
