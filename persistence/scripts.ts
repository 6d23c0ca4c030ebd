/**
 * Lua scripts: one file each, loaded once a server, called by their digest. Each gets a seal behind its arguments and gives it back
 * in front of its result, so that no call takes the reply of another for its own.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { checkSeal, newSeal } from './stray-replies.ts'

export class Script {
  readonly #text: string
  readonly #digest: string

  /** @param name file name in `lua/` without its ending */
  constructor(name: string) {
    const text = readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
    this.#text = `local seal = table.remove(ARGV)\nlocal function run()\n${text}\nend\nreturn { seal, run() }`
    this.#digest = createHash('sha1').update(this.#text).digest('hex')
  }

  /**
   * Runs the script; a server that does not know it (restarted, failed over) is told once more.
   * @throws StrayReply
   */
  async run(
    redis: Redis,
    keys: readonly string[],
    args: readonly (string | number | Buffer)[],
  ): Promise<unknown> {
    const seal = newSeal()
    const reply = await redis
      .call('EVALSHA', this.#digest, keys.length, ...keys, ...args, seal)
      .catch((error: unknown) => {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
        return redis.call('EVAL', this.#text, keys.length, ...keys, ...args, seal)
      })
    const [came, result] = Array.isArray(reply) ? (reply as unknown[]) : []
    checkSeal(redis, seal, came)
    return result
  }
}
