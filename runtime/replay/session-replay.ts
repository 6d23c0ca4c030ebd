/**
 * Replays what the audit holds of one session, row by row, in two worlds at once: what both make of a row alike hangs on its
 * inputs alone, and is held against what is stored (AU4). A row counts as equal only if all of its state is stored, came out the
 * same, and neither clock nor chance was asked for on the way to it.
 */
import { messageOf } from '../../actors/errors.ts'
import type { Kernel } from '../../actors/kernel.ts'
import type { Registry } from '../../actors/registry.ts'
import type { RecordedTransition } from '../../persistence/audit/recorded.ts'
import { differenceFrom, missingIn } from './comparison.ts'
import { firstDifference } from './difference.ts'
import { obstacle, obstacleIn } from './obstacle.ts'
import type { Obstacle, ObstacleKind } from './obstacle.ts'
import { replayStep, Unrepeatable } from './replay-step.ts'
import type { ReplayedRow } from './replay-step.ts'
import { stateAfter } from './replayed-state.ts'
import type { ReplayedState } from './replayed-state.ts'
import { Tips } from './replay-tips.ts'
import type { Tip } from './replay-tips.ts'
import { twoWorlds } from './worlds.ts'
import type { World, Worlds } from './worlds.ts'

export interface ReplayOptions {
  readonly registry: Registry
  /** Version of the definition that all is replayed with; `null`: each row with its own. */
  readonly as: number | null
  /** Up to this version of the session with its own, from there on migrated to `as`; `null`: with `as` from its creation on. */
  readonly migrateAfter: number | null
  /** Compare status and value only: another version may have another context. */
  readonly statesOnly: boolean
}

/** The first row of a session that came out differently. */
export type Divergence = Pick<RecordedTransition, 'epoch' | 'version' | 'kind' | 'event'> & {
  /** Version of the definition that it was replayed with. */
  readonly machineVersion: number
} & (
    | { readonly is: 'state'; readonly path: string; readonly stored: unknown; readonly replayed: unknown }
    | { readonly is: 'failure'; readonly reason: string }
  )

interface NotComparable extends Obstacle {
  count: number
  /** The first of them. */
  readonly epoch: string
  readonly version: number
}

export interface SessionReport {
  readonly sessionId: string
  rows: number
  equal: number
  /** Deletions and expiries, which leave no state. */
  ends: number
  /** Rows that ran under {@link ReplayOptions.as}. */
  underAs: number
  readonly notComparable: Map<ObstacleKind, NotComparable>
  divergence: Divergence | null
}

type Attempt = { readonly state: ReplayedState } | { readonly reason: string }

/** What became of a row: its tip, and what is said of it. */
interface Judged {
  readonly outcome: Tip['outcome']
  readonly asked: string | null
  readonly verdict: 'equal' | Obstacle | Divergence
}

export class SessionReplay {
  readonly #options: ReplayOptions
  readonly #worlds: Worlds
  readonly #both: readonly World[] = twoWorlds()
  readonly #tips: Tips
  readonly report: SessionReport

  constructor(
    sessionId: string,
    options: ReplayOptions,
    worlds: Worlds,
    branchPoints: ReadonlySet<string> = new Set(),
  ) {
    this.#options = options
    this.#worlds = worlds
    this.#tips = new Tips(branchPoints)
    this.report = {
      ...{ sessionId, rows: 0, equal: 0, ends: 0, underAs: 0 },
      notComparable: new Map(),
      divergence: null,
    }
  }

  /** Rows must come by epoch, version and commit. */
  take(row: RecordedTransition): void {
    const { report } = this
    report.rows++
    if (row.kind === 'deleted' || row.kind === 'expired') {
      report.ends++
      return
    }
    const { outcome, asked, verdict } = this.#judge(row)
    const { epoch, version, commitId, previousCommitId } = row
    this.#tips.add({ epoch, version, commitId, previousCommitId, outcome, asked })
    if (verdict === 'equal') report.equal++
    else if ('is' in verdict) report.divergence ??= verdict
    else {
      const known = report.notComparable.get(verdict.kind)
      if (known === undefined)
        report.notComparable.set(verdict.kind, { ...verdict, count: 1, epoch, version })
      else known.count++
    }
  }

  #judge(row: RecordedTransition): Judged {
    const own = obstacleIn(row)
    if (own !== null) return lost(own, obstacle('after'))
    const base = row.kind === 'created' ? null : this.#tips.baseOf(row)
    if (base === null && row.kind !== 'created')
      return lost(obstacle('gap', `version ${row.version - 1}`), obstacle('after'))
    if (base !== null && 'lost' in base.outcome) return lost(base.outcome.lost, base.outcome.lost)
    const kernel = this.#kernelFor(row)
    if (kernel === null)
      return lost(obstacle('version', `${row.machine} version ${this.#versionFor(row)}`), obstacle('after'))
    if (kernel.definition.version === this.#options.as) this.report.underAs++
    const states = base === null || 'lost' in base.outcome ? [] : base.outcome.states
    const runs = this.#both.map((world, index) =>
      this.#worlds.run(world, () => this.#attempt(row as ReplayedRow, kernel, states[index] ?? null)),
    )
    const asked = [...new Set(runs.flatMap((run) => run.asked))].join(', ')
    return this.#compare(
      row,
      kernel,
      runs.map(({ result }) => result),
      asked === '' ? null : asked,
      base?.asked ?? null,
    )
  }

  #versionFor({ machineVersion, version }: RecordedTransition): number {
    const { as, migrateAfter } = this.#options
    return as === null || (migrateAfter !== null && version <= migrateAfter) ? (machineVersion ?? 0) : as
  }

  #kernelFor(row: RecordedTransition): Kernel | null {
    return this.#options.registry.kernelOf({
      machine: row.machine ?? '',
      machineVersion: this.#versionFor(row),
    })
  }

  #attempt(row: ReplayedRow, kernel: Kernel, base: ReplayedState | null): Attempt {
    const { statesOnly } = this.#options
    try {
      const from = base === null ? null : this.#underVersion(row, kernel, base)
      const state = replayStep(row, kernel, from, (text) => differenceFrom(row, text, statesOnly) === null)
      return { state }
    } catch (error) {
      return { reason: messageOf(error) }
    }
  }

  /** The session as the row's version of the definition goes on with it. */
  #underVersion(row: ReplayedRow, kernel: Kernel, base: ReplayedState): ReplayedState {
    if (base.kernel === kernel || (row.kind === 'migrated' && this.#options.as === null)) return base
    if (this.#options.migrateAfter === null)
      throw new Unrepeatable('it is of another version of the definition than the row before it')
    const { record } = base
    const before = { ...row, epoch: record.epoch, version: record.version, timeMs: record.updatedAt }
    return stateAfter(before, kernel, kernel.migrate(record), record.timers)
  }

  #compare(
    row: RecordedTransition,
    kernel: Kernel,
    [first, second]: readonly Attempt[],
    asked: string | null,
    askedBefore: string | null,
  ): Judged {
    if (first === undefined || second === undefined) throw new TypeError('there are two worlds')
    const { statesOnly } = this.#options
    const clock = (detail: string): Judged => lost(obstacle('clock', detail), obstacle('clock', detail))
    const ofWorlds = differenceOfWorlds(first, second)
    if (ofWorlds !== null) return clock(asked === null ? ofWorlds : `${ofWorlds}: ${asked}`)
    const everAsked = askedBefore ?? asked
    const { epoch, version, kind, event } = row
    const where = { epoch, version, kind, event, machineVersion: kernel.definition.version }
    const difference = 'state' in first ? differenceFrom(row, first.state.record.state, statesOnly) : null
    if ('reason' in first || 'reason' in second || difference !== null) {
      if (row.failed !== null) return lost(obstacle('failed', row.failed), obstacle('after'))
      if (everAsked !== null) return clock(everAsked)
      const divergence: Divergence =
        difference !== null
          ? { ...where, is: 'state', ...difference }
          : { ...where, is: 'failure', reason: 'reason' in first ? first.reason : '' }
      return { outcome: { lost: obstacle('diverged') }, asked: null, verdict: divergence }
    }
    const outcome = { states: [first.state, second.state] }
    const missing = missingIn(row, statesOnly)
    const verdict =
      row.failed !== null
        ? obstacle('failed', row.failed)
        : asked !== null
          ? obstacle('clock', asked)
          : missing.length > 0
            ? obstacle(row.redacted.length > 0 ? 'redacted' : 'no-state', missing.join(', '))
            : 'equal'
    return { outcome, asked: everAsked, verdict }
  }
}

/** What is said of this row, and of those that follow it. */
function lost(verdict: Obstacle, following: Obstacle): Judged {
  return { outcome: { lost: following }, asked: null, verdict }
}

/** Where two replays of one row differ, for people; `null`: they do not. */
function differenceOfWorlds(first: Attempt, second: Attempt): string | null {
  if ('reason' in first || 'reason' in second) {
    if ('reason' in first && 'reason' in second) return null
    return 'two replays of it differ: one fails'
  }
  const [a, b] = [first.state.record.state, second.state.record.state]
  if (a === b) return null
  const difference = firstDifference(JSON.parse(a), JSON.parse(b), '')
  return difference && `two replays of it differ in ${difference.path}`
}
