/** What would become of stored sessions under the definitions of a deployment, before it is made. */
import { messageOf } from '../actors/errors.ts'
import type { Registry } from '../actors/registry.ts'
import { isActive } from '../actors/session.ts'
import type { SessionRecord } from '../actors/session.ts'
import { checkSize } from './host/session-size.ts'
import type { HostLimits } from './host/host-parts.ts'

/** Sessions that could not go on are named up to this number of each version; the others are counted. */
const MAX_NAMED = 20

/** The sessions of one version of a definition. */
export interface VersionReport {
  readonly machine: string
  readonly version: number
  /** What they would be migrated to; `null`: they stay with their version, or nothing here knows it. */
  readonly to: number | null
  /** Whether any of the definitions can serve or migrate them; `null`: none of them is of this name. */
  readonly isServed: boolean | null
  active: number
  ended: number
  /** Active ones that could not go on: `migrate` fails, or the machine of their version is another one now. */
  failing: number
  /** Ended ones that could not be shown: where their own version is not served, `migrate` shows them. */
  hidden: number
  readonly failures: { readonly id: string; readonly reason: string }[]
}

/** Tries each migration without writing anything. */
export async function checkMigrations(
  sessions: AsyncIterable<SessionRecord>,
  registry: Registry,
  limits: HostLimits,
): Promise<VersionReport[]> {
  const names = new Set(registry.names())
  const reports = new Map<string, VersionReport>()
  for await (const record of sessions) {
    const { id, machine, machineVersion: version } = record
    const own = registry.kernelOf(record)
    const migrating = registry.migrationOf(record)
    const key = `${machine} ${version}`
    const report = reports.get(key) ?? {
      machine,
      version,
      to: migrating?.definition.version ?? null,
      isServed: names.has(machine) ? migrating !== null || own !== null : null,
      active: 0,
      ended: 0,
      failing: 0,
      hidden: 0,
      failures: [],
    }
    reports.set(key, report)
    const isGoingOn = isActive(record)
    report[isGoingOn ? 'active' : 'ended']++
    if (report.isServed === null || (!isGoingOn && own !== null)) continue
    try {
      if (migrating !== null) checkSize({ limits }, migrating.migrate(record))
      else own?.restore(record)
      if (report.isServed) continue
    } catch (error) {
      if (report.failures.length < MAX_NAMED) report.failures.push({ id, reason: messageOf(error) })
    }
    report[isGoingOn ? 'failing' : 'hidden']++
  }
  return [...reports.values()].sort((a, b) => a.machine.localeCompare(b.machine) || a.version - b.version)
}

/** How many sessions could not go on, or be shown; those of other definitions than were tried do not count. */
export function stuckIn(reports: readonly VersionReport[]): number {
  return reports.reduce((sum, { failing, hidden }) => sum + failing + hidden, 0)
}

/** For people: a line for each version, one for each session that is named, and what it comes to. */
export function describeReports(reports: readonly VersionReport[]): string[] {
  const stuck = stuckIn(reports)
  const sum = stuck === 0 ? 'All could go on.' : `${count(stuck, 'session')} could not go on or be shown.`
  return [...reports.flatMap(describeReport), sum]
}

function describeReport(report: VersionReport): string[] {
  const { machine, version, active, ended, failing, hidden, failures } = report
  const what = `${machine} version ${version}: ${count(active, 'active session')}, ${ended} ended; ${fateOf(report)}`
  const unseen = hidden > 0 ? [`  ${hidden} of the ended could not be shown without version ${version}`] : []
  const more = failing + hidden - failures.length
  return [
    what,
    ...unseen,
    ...failures.map(({ id, reason }) => `  ${id}: ${reason}`),
    ...(more > 0 && failures.length > 0 ? [`  … and ${more} more`] : []),
  ]
}

function fateOf({ isServed, to, active, failing }: VersionReport): string {
  if (isServed === null) return 'not among the definitions that were tried'
  if (!isServed) return 'none of the definitions serves this version, or can migrate it'
  if (to === null)
    return failing === 0
      ? 'they stay with their version'
      : `${failing} cannot go on: the machine of this version is another one now`
  if (failing === 0) return `all would be migrated to version ${to}`
  return `${active - failing} would be migrated to version ${to}, ${failing} could not be`
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
