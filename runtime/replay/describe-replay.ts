/** What replays came to, for people and for programs. */
import { obstacleKinds } from './obstacle.ts'
import type { ObstacleKind } from './obstacle.ts'
import type { Divergence, SessionReport } from './session-replay.ts'

/** Longer values are cut: JSON has them whole. */
const MAX_VALUE = 200

/**
 * The lines about one session.
 * @param as version of the definition that it was to be tried under; `null`: under its own
 */
export function describeReport(report: SessionReport, as: number | null): string[] {
  const { sessionId, rows, equal, ends, underAs, notComparable, divergence } = report
  const parts = [
    `${count(equal, 'row')} equal`,
    ...(divergence === null ? [] : ['1 diverged']),
    ...(sumOf(report) === 0 ? [] : [`${sumOf(report)} not comparable`]),
    ...(ends === 0 ? [] : [`${count(ends, 'end')} without a state`]),
  ]
  return [
    `${sessionId}: ${count(rows, 'row')}: ${parts.join(', ')}`,
    ...(as === null || underAs > 0 ? [] : [`  nothing of it ran under version ${as}`]),
    ...(divergence === null ? [] : divergenceLines(divergence)),
    ...[...notComparable].map(([kind, { count: number, detail, epoch, version }]) => {
      const first = `${number === 1 ? '' : 'first '}version ${version} of epoch ${epoch}`
      return `  not comparable: ${number}, ${obstacleKinds[kind]} (${first}${detail === null ? '' : `: ${detail}`})`
    }),
  ]
}

function divergenceLines(divergence: Divergence): string[] {
  const { epoch, version, kind, event, machineVersion } = divergence
  const type = (event as { type?: string } | undefined)?.type
  const what = `${kind}${type === undefined ? '' : ` ${JSON.stringify(type)}`}`
  const head = `  diverged at version ${version} of epoch ${epoch} (${what}), replayed with version ${machineVersion} of the definition`
  if (divergence.is === 'failure') return [`${head}:`, `    ${divergence.reason}`]
  const { path, stored, replayed } = divergence
  return [`${head}, in ${path}:`, `    stored    ${show(stored)}`, `    replayed  ${show(replayed)}`]
}

function show(value: unknown): string {
  const text = value === undefined ? '(nothing)' : JSON.stringify(value)
  return text.length <= MAX_VALUE ? text : `${text.slice(0, MAX_VALUE)}…`
}

/** What many sessions came to. */
export interface ReplaySum {
  sessions: number
  diverged: number
  rows: number
  equal: number
  ends: number
  /** Sessions whose rows are not there, as retention leaves them. */
  withoutRows: number
  /** Rows that ran under the version that was asked for. */
  underAs: number
  readonly notComparable: Map<ObstacleKind, number>
}

export function addReport(sum: ReplaySum, report: SessionReport): void {
  sum.sessions++
  if (report.divergence !== null) sum.diverged++
  sum.rows += report.rows
  sum.equal += report.equal
  sum.ends += report.ends
  sum.underAs += report.underAs
  if (report.rows === 0) sum.withoutRows++
  for (const [kind, { count: number }] of report.notComparable)
    sum.notComparable.set(kind, (sum.notComparable.get(kind) ?? 0) + number)
}

export function describeSum({
  sessions,
  diverged,
  rows,
  equal,
  ends,
  withoutRows,
  notComparable,
}: ReplaySum): string[] {
  const others = [...notComparable.values()].reduce((all, each) => all + each, 0)
  const head = `Replayed ${count(rows, 'row')} of ${count(sessions, 'session')}: ${equal.toLocaleString('en')} equal, ${count(diverged, 'session')} diverged, ${count(others, 'row')} not comparable${ends === 0 ? '' : `, ${count(ends, 'end')} without a state`}.`
  const gone =
    withoutRows === 0 ? [] : [`  ${count(withoutRows, 'session')} without a row, as retention leaves them`]
  return [head, ...gone, ...[...notComparable].map(([kind, number]) => `  ${number}: ${obstacleKinds[kind]}`)]
}

export function jsonOfReport(report: SessionReport): object {
  const { notComparable, ...rest } = report
  return { ...rest, notComparable: Object.fromEntries(notComparable) }
}

export function jsonOfSum(sum: ReplaySum): object {
  return { sum: { ...sum, notComparable: Object.fromEntries(sum.notComparable) } }
}

function sumOf({ notComparable }: SessionReport): number {
  return [...notComparable.values()].reduce((sum, { count: number }) => sum + number, 0)
}

function count(number: number, what: string): string {
  return `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`
}
