/** Asks the workers of a server how much memory they use, through the probe that is loaded into them. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** In bytes, after garbage collection, of all workers together. */
export interface Memory {
  readonly rss: number
  readonly heapUsed: number
  readonly external: number
}

const ANSWER_MS = 20_000

export class WorkerMemory {
  readonly #folder = mkdtempSync(join(tmpdir(), 'troupe-bench-'))

  /** Arguments of node for the server. */
  readonly nodeArgs = [
    '--expose-gc',
    '--import',
    fileURLToPath(new URL('./memory-probe.mjs', import.meta.url)),
  ]

  /** For the environment of the server. */
  get env(): Record<string, string> {
    return { TROUPE_BENCH_MEMORY: this.#folder }
  }

  async read(): Promise<Memory> {
    const files = readdirSync(this.#folder).filter((name) => name.endsWith('.json'))
    if (files.length === 0) throw new Error('no worker has loaded the probe')
    for (const file of files) {
      writeFileSync(join(this.#folder, file), '')
      process.kill(Number.parseInt(file, 10), 'SIGUSR2')
    }
    const all: Memory[] = []
    for (const file of files) all.push(await this.#answer(join(this.#folder, file)))
    const sum = (of: (memory: Memory) => number): number => all.reduce((total, each) => total + of(each), 0)
    return {
      rss: sum(({ rss }) => rss),
      heapUsed: sum(({ heapUsed }) => heapUsed),
      external: sum(({ external }) => external),
    }
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #answer(path: string): Promise<Memory> {
    for (const until = Date.now() + ANSWER_MS; Date.now() < until; await sleep(20)) {
      const text = readFileSync(path, 'utf8')
      if (text !== '') return JSON.parse(text) as Memory
    }
    throw new Error(`a worker did not say within ${ANSWER_MS / 1000} s how much memory it uses`)
  }
}
