/**
 * Whether rows of the audit form one chain a session, looked at one by one in the order of session, epoch, version and
 * commit id. Holds no more than the rows of two positions and the doubts that are not settled yet.
 *
 * An epoch begins with version 1, unless it was raised: then its first row names the commit of an earlier epoch that it
 * goes on from. Version 0 is the expiry of a session whose record had vanished; nothing else is known of it.
 */

interface Where {
  readonly sessionId: string
  readonly epoch: string
}

/** Versions `from` to `to` of this epoch are not there, though later ones are. */
interface Missing extends Where {
  readonly kind: 'missing'
  readonly from: number
  readonly to: number
}

/** Several commits claim one position. */
interface Fork extends Where {
  readonly kind: 'fork'
  readonly version: number
  readonly commitIds: readonly string[]
}

/** A transition names a commit before it that is not the one stored before it. */
interface BrokenChain extends Where {
  readonly kind: 'broken-chain'
  readonly version: number
  readonly commitId: string
  readonly previousCommitId: string | null
}

/** These were committed, and `by` goes on from before them: the server lost them, as after a failover. */
interface TakenBack extends Where {
  readonly kind: 'taken-back'
  readonly from: number
  readonly to: number
  readonly by: string
}

export type Finding = Missing | Fork | BrokenChain | TakenBack

export interface ChainRow extends Where {
  readonly version: number
  readonly commitId: string
  readonly previousCommitId: string | null
}

/** The first row of a raised epoch, whose base does not stand right before it: whether it is there has to be asked. */
export interface Doubt extends Where {
  readonly version: number
  readonly previousCommitId: string | null
}

export interface ChainCheckOptions {
  /** Whether earlier rows may be out of sight: then a session may begin with any version. */
  readonly opensAnywhere: boolean
  readonly onFinding: (finding: Finding) => void
  readonly onDoubt: (doubt: Doubt) => void
}

export class ChainCheck {
  readonly #options: ChainCheckOptions
  /** Rows of the newest position so far, and of the position right before it. */
  #at: ChainRow[] = []
  #before: readonly ChainRow[] = []
  /** Lowest version of the session that was seen. */
  #lowest = 0
  #sessions = 0
  #rows = 0

  constructor(options: ChainCheckOptions) {
    this.#options = options
  }

  get sessions(): number {
    return this.#sessions
  }

  get rows(): number {
    return this.#rows
  }

  take(row: ChainRow): void {
    this.#rows++
    const [last] = this.#at
    if (last === undefined || last.sessionId !== row.sessionId) this.#beginSession(row)
    else if (last.epoch !== row.epoch) this.#beginEpoch(row, last)
    else if (last.version === row.version) this.#at.push(row)
    else this.#advance(row, last)
    this.#lowest = Math.min(this.#lowest, row.version)
    this.#checkLink(row)
  }

  /** To be called after the last row. */
  end(): void {
    this.#tellFork()
    this.#at = []
  }

  #beginSession(row: ChainRow): void {
    this.#tellFork()
    this.#sessions++
    this.#before = []
    this.#at = [row]
    this.#lowest = row.version
    if (row.version > 1 && !this.#options.opensAnywhere) this.#options.onDoubt(row)
  }

  #beginEpoch(row: ChainRow, last: ChainRow): void {
    this.#tellFork()
    const { onDoubt, onFinding, opensAnywhere } = this.#options
    if (row.version > 1) {
      const isNext = last.version === row.version - 1
      const goesOn = isNext && this.#at.some(({ commitId }) => commitId === row.previousCommitId)
      const isOutOfSight = opensAnywhere && row.version - 1 < this.#lowest
      if (!goesOn && !isOutOfSight) onDoubt(row)
      if (last.version >= row.version) {
        const { sessionId, epoch, version: to } = last
        onFinding({ kind: 'taken-back', sessionId, epoch, from: row.version, to, by: row.epoch })
      }
    }
    this.#before = []
    this.#at = [row]
  }

  #advance(row: ChainRow, { sessionId, epoch, version }: ChainRow): void {
    this.#tellFork()
    const isNext = version === row.version - 1
    this.#before = isNext ? this.#at : []
    this.#at = [row]
    if (!isNext)
      this.#options.onFinding({
        kind: 'missing',
        sessionId,
        epoch,
        from: version + 1,
        to: row.version - 1,
      })
  }

  /** The transitions of one commit all name the commit before it. Of a fork, any branch may be the one that goes on. */
  #checkLink({ sessionId, epoch, version, commitId, previousCommitId }: ChainRow): void {
    if (this.#before.length === 0) return
    const fits = this.#before.some(
      (before) =>
        before.commitId === previousCommitId ||
        (before.commitId === commitId && before.previousCommitId === previousCommitId),
    )
    if (!fits)
      this.#options.onFinding({ kind: 'broken-chain', sessionId, epoch, version, commitId, previousCommitId })
  }

  #tellFork(): void {
    const [first] = this.#at
    if (first === undefined || this.#at.length < 2) return
    const { sessionId, epoch, version } = first
    const commitIds = this.#at.map(({ commitId }) => commitId).sort()
    this.#options.onFinding({ kind: 'fork', sessionId, epoch, version, commitIds })
  }
}
