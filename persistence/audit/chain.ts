/**
 * Whether rows of the audit form one chain a session, looked at one by one in the order of session, epoch, version and
 * commit id. Holds no more than the rows of two positions and the doubts that are not settled yet.
 *
 * An epoch begins with version 1, unless it was raised: then its first row names the commit of an earlier epoch that it
 * goes on from. Version 0 is the expiry of a session whose record had vanished; nothing else is known of it. Where version 1
 * follows, the life before has an end: a deletion or expiry of its own, or that version 0 behind it.
 */
import { compareEpochs } from '../../actors/session.ts'

export interface Where {
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

/** The life neither was deleted nor expired behind `version`, though another one, `next`, was created. */
interface NoEnd extends Where {
  readonly kind: 'no-end'
  readonly version: number
  readonly next: string
}

export type ChainFinding = Missing | Fork | BrokenChain | TakenBack | NoEnd

export interface ChainRow extends Where {
  readonly version: number
  readonly commitId: string
  readonly previousCommitId: string | null
  /** What it was: `created`, `event`, `deleted` … */
  readonly transition: string
}

/** The first row of an epoch, whose base does not stand right before it: whether it is there has to be asked. */
export interface Doubt extends Where {
  readonly version: number
  readonly previousCommitId: string | null
  /** Whether the base is older than all that was seen of the session, so that its day may have been dropped. */
  readonly isBeforeAll: boolean
}

export interface ChainCheckOptions {
  /** Epochs before this one may have rows that are out of sight: the first one seen of a session begins with any version then. */
  readonly opensBefore: string | null
  readonly onFinding: (finding: ChainFinding) => void
  readonly onDoubt: (doubt: Doubt) => void
}

export class ChainCheck {
  readonly #options: ChainCheckOptions
  /** Rows of the newest position so far, and of the position right before it. */
  #at: ChainRow[] = []
  #before: readonly ChainRow[] = []
  /** Lowest version of the session that was seen. */
  #lowest = 0
  /** Whether the epoch has an end. Of a fork, that of any branch is one. */
  #hasEnd = false
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
    this.#hasEnd ||= row.transition === 'deleted' || row.transition === 'expired'
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
    this.#hasEnd = false
    const { opensBefore, onDoubt } = this.#options
    const isOpen = opensBefore !== null && compareEpochs(row.epoch, opensBefore) < 0
    if (row.version > 1 && !isOpen) onDoubt({ ...row, isBeforeAll: true })
  }

  #beginEpoch(row: ChainRow, last: ChainRow): void {
    this.#tellFork()
    const { onDoubt, onFinding } = this.#options
    const { sessionId, epoch, version } = last
    if (row.version === 1 && !this.#hasEnd)
      onFinding({ kind: 'no-end', sessionId, epoch, version, next: row.epoch })
    if (row.version > 1) {
      const isNext = version === row.version - 1
      const goesOn = isNext && this.#at.some(({ commitId }) => commitId === row.previousCommitId)
      if (!goesOn) onDoubt({ ...row, isBeforeAll: row.version - 1 < this.#lowest })
      if (version >= row.version)
        onFinding({ kind: 'taken-back', sessionId, epoch, from: row.version, to: version, by: row.epoch })
    }
    this.#hasEnd = false
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
