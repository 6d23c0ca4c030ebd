/** Faults at random, the same for the same seed, on lines between clients and workers and between workers and Redis. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Dice } from '../fuzz/dice.ts'
import { TcpProxy, type Fault } from '../support/tcp-proxy.ts'

const BOTH = ['up', 'down'] as const

/** Where bytes come twice, and clients look at what the server itself sends, only those to the server do. */
export type Doubled = 'both' | 'up'

export class BadNetwork {
  readonly proxy: TcpProxy
  readonly counts: Record<string, number> = {}
  readonly #dice: Dice
  readonly #doubled: Doubled
  #deck: number[] = []
  #isRunning = true
  #running: Promise<void> = Promise.resolve()

  private constructor(proxy: TcpProxy, dice: Dice, doubled: Doubled) {
    this.proxy = proxy
    this.#dice = dice
    this.#doubled = doubled
  }

  static async start(target: string, seed: number, doubled: Doubled = 'both'): Promise<BadNetwork> {
    const dice = new Dice(seed)
    return new BadNetwork(await TcpProxy.start(target, () => dice.next()), dice, doubled)
  }

  /** One fault after the other, with sound times between, until {@link calm}. */
  rage(longestMs: number): void {
    this.#isRunning = true
    this.#running = this.#rage(longestMs)
  }

  /** The fault under way ends, and none follows. What it broke stays broken. */
  async calm(): Promise<void> {
    this.#isRunning = false
    await this.#running
  }

  async #rage(longestMs: number): Promise<void> {
    const dice = this.#dice
    while (this.#isRunning) {
      await sleep(100 + dice.below(400))
      const fault = this.#choose()
      // All lines, or each by chance.
      const isHit = dice.chance(0.4) ? undefined : (): boolean => dice.chance(0.5)
      this.proxy.apply(fault, isHit)
      this.counts[fault.kind] = (this.counts[fault.kind] ?? 0) + 1
      const until = Date.now() + 100 + dice.below(longestMs)
      while (this.#isRunning && Date.now() < until) {
        await sleep(20)
        // Once is soon over: bytes come twice again and again.
        if (fault.kind === 'duplicate') this.proxy.apply(fault, isHit)
      }
      this.proxy.heal()
    }
  }

  /** All kinds come in turn, in an order of chance: a short run has each of them too. */
  #choose(): Fault {
    const dice = this.#dice
    if (this.#deck.length === 0) this.#deck = [0, 1, 2, 3, 4, 5, 6]
    const [kind] = this.#deck.splice(dice.below(this.#deck.length), 1)
    switch (kind) {
      case 0:
        return { kind: 'delay', ms: dice.below(150), jitterMs: dice.below(200) }
      case 1:
        return { kind: 'cut', how: dice.pick(['reset', 'end']) }
      case 2:
        return { kind: 'half-open', gone: dice.pick(['client', 'server']) }
      case 3:
        return { kind: 'blackhole', directions: dice.pick([BOTH, ['up'], ['down']]) }
      case 4:
        return { kind: 'stall' }
      case 5:
        // What was asked is done, and nobody is told.
        return { kind: 'blackhole', directions: ['down'] }
      default:
        return { kind: 'duplicate', direction: this.#doubled === 'up' ? 'up' : dice.pick(BOTH) }
    }
  }
}
