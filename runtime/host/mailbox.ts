/** One session's requests on this process: strictly one turn after another, in the order in which they came. */
export class Mailbox<Item> {
  readonly #takeTurn: (items: Item[]) => Promise<void>
  readonly #fits: (turn: readonly Item[], next: Item) => boolean
  readonly #whenEmpty: () => void
  #items: Item[] = []
  #isRunning = false

  /**
   * @param takeTurn handles some items together; must not reject
   * @param fits whether `next` may join the turn
   * @param whenEmpty the last turn is over and nothing waits
   */
  constructor(
    takeTurn: (items: Item[]) => Promise<void>,
    fits: (turn: readonly Item[], next: Item) => boolean,
    whenEmpty: () => void,
  ) {
    this.#takeTurn = takeTurn
    this.#fits = fits
    this.#whenEmpty = whenEmpty
  }

  get length(): number {
    return this.#items.length
  }

  push(item: Item): void {
    this.#items.push(item)
    if (!this.#isRunning) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#items.length > 0) await this.#takeTurn(this.#nextTurn())
    this.#isRunning = false
    this.#whenEmpty()
  }

  #nextTurn(): Item[] {
    const turn: Item[] = []
    for (const item of this.#items) {
      if (turn.length > 0 && !this.#fits(turn, item)) break
      turn.push(item)
    }
    this.#items = this.#items.slice(turn.length)
    return turn
  }
}
