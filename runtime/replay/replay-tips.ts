/** Where a replay stands: the states that the next rows may go on from. */
import type { RecordedTransition } from '../../persistence/audit/recorded.ts'
import type { Obstacle } from './obstacle.ts'
import type { ReplayedState } from './replayed-state.ts'

/** A row that has been replayed, or could not be. */
export interface Tip {
  readonly epoch: string
  readonly version: number
  readonly commitId: string
  readonly previousCommitId: string | null
  /** What it came to in both worlds; `lost`: it is not known, and so neither what follows. */
  readonly outcome: { readonly states: readonly ReplayedState[] } | { readonly lost: Obstacle }
  /** What of the clock or chance this life has asked for so far. */
  readonly asked: string | null
}

/** Rows come by epoch and version; of a fork there are several at one version. */
export class Tips {
  /** The newest version, and the one before it. */
  #at: Tip[] = []
  #before: readonly Tip[] = []
  readonly #branchPoints: ReadonlySet<string>
  readonly #kept = new Map<string, Tip>()

  /** @param branchPoints commits that later epochs go on from */
  constructor(branchPoints: ReadonlySet<string>) {
    this.#branchPoints = branchPoints
  }

  /** What the row goes on from; `null`: that is not there. */
  baseOf({ version, commitId, previousCommitId }: RecordedTransition): Tip | null {
    const fits = (tip: Tip): boolean =>
      tip.version === version - 1 &&
      (tip.commitId === previousCommitId ||
        // One commit may hold several transitions, which all name the commit before it.
        (tip.commitId === commitId && tip.previousCommitId === previousCommitId))
    return [...this.#at, ...this.#before, ...this.#kept.values()].find(fits) ?? null
  }

  add(tip: Tip): void {
    const [last] = this.#at
    if (last?.epoch !== tip.epoch || last.version !== tip.version) {
      this.#before = this.#at
      this.#at = []
    }
    this.#at.push(tip)
    if (this.#branchPoints.has(tip.commitId)) this.#kept.set(tip.commitId, tip)
  }
}
