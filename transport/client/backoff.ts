/** How long to wait before the next try. */

export interface Backoff {
  /** Upper bound of the first wait, in ms; it doubles with each try. */
  readonly minMs: number
  /** No upper bound is higher. */
  readonly maxMs: number
}

/**
 * Full jitter: anything between nothing and the bound, so that clients that lost the same server come back spread out.
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 * @param tries how many there were before, 0, 1, 2 …
 */
export function waitMs({ minMs, maxMs }: Backoff, tries: number, random: () => number): number {
  return random() * Math.min(maxMs, minMs * 2 ** Math.min(tries, 30))
}
