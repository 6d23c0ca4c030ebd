/** Lua scripts: one file each, loaded once a server, called by their digest. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'

export class Script {
  readonly #text: string
  readonly #digest: string

  /** @param name file name in `lua/` without its ending */
  constructor(name: string) {
    this.#text = readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
    this.#digest = createHash('sha1').update(this.#text).digest('hex')
  }

  /** Runs the script; a server that does not know it (restarted, failed over) is told once more. */
  async run(
    redis: Redis,
    keys: readonly string[],
    args: readonly (string | number | Buffer)[],
  ): Promise<unknown> {
    try {
      return await redis.call('EVALSHA', this.#digest, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return redis.call('EVAL', this.#text, keys.length, ...keys, ...args)
    }
  }
}
