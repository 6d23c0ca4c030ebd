/** What processes need of memory at most, between two looks. */
import { readFileSync } from 'node:fs'

const EVERY_MS = 20
const PAGE_MIB = 4096 / 1024 / 1024

export class MemoryWatch {
  readonly #pids: readonly number[]
  readonly #timer = setInterval(() => this.#look(), EVERY_MS)
  #peak = 0

  constructor(pids: readonly number[]) {
    this.#pids = pids
  }

  /** @returns the most that was resident in all of them at one time since the last call, in MiB */
  take(): number {
    this.#look()
    const peak = this.#peak
    this.#peak = 0
    return Math.round(peak)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const pages = this.#pids.map((pid) => Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]))
    this.#peak = Math.max(this.#peak, pages.reduce((sum, each) => sum + each, 0) * PAGE_MIB)
  }
}
