/** What would become of stored sessions under the definitions of a deployment, before it is made. */
import { messageOf } from '../actors/errors.ts'
import type { Registry } from '../actors/registry.ts'
import type { SessionRecord } from '../actors/session.ts'
import { checkSize } from './host/session-size.ts'
import type { HostLimits } from './host/host-parts.ts'
import { isActive } from './host/versions.ts'

/** Sessions that could not go on are named up to this number of each version; the others are counted. */
const MAX_NAMED = 20

/** The sessions of one version of a definition. */
export interface VersionReport {
  readonly machine: string
  readonly version: number
  /** What they would be migrated to; `null`: they stay with their version, or nothing here knows it. */
  readonly to: number | null
  /** Whether any of the definitions can serve or migrate them. */
  readonly isServed: boolean
  active: number
  ended: number
  /** Of the active ones. */
  failing: number
  readonly failures: { readonly id: string; readonly reason: string }[]
}

/** Tries each migration without writing anything. */
export async function checkMigrations(
  sessions: AsyncIterable<SessionRecord>,
  registry: Registry,
  limits: HostLimits,
): Promise<VersionReport[]> {
  const reports = new Map<string, VersionReport>()
  for await (const record of sessions) {
    const { id, machine, machineVersion: version } = record
    const kernel = registry.migrationOf(record)
    const key = `${machine} ${version}`
    const report = reports.get(key) ?? {
      machine,
      version,
      to: kernel?.definition.version ?? null,
      isServed: kernel !== null || registry.kernelOf(record) !== null,
      active: 0,
      ended: 0,
      failing: 0,
      failures: [],
    }
    reports.set(key, report)
    if (!isActive(record)) {
      report.ended++
      continue
    }
    report.active++
    if (kernel === null) continue
    try {
      checkSize({ limits }, kernel.migrate(record))
    } catch (error) {
      report.failing++
      if (report.failures.length < MAX_NAMED) report.failures.push({ id, reason: messageOf(error) })
    }
  }
  return [...reports.values()].sort((a, b) => a.machine.localeCompare(b.machine) || a.version - b.version)
}

/** Whether each session could go on. */
export function canGoOn({ isServed, active, failing }: VersionReport): boolean {
  return failing === 0 && (isServed || active === 0)
}

/** For people: a line for each version, and one for each session that is named. */
export function describeReports(reports: readonly VersionReport[]): string[] {
  return reports.flatMap((report) => {
    const { machine, version, to, isServed, active, ended, failing, failures } = report
    const what = `${machine} version ${version}: ${count(active, 'active session')}, ${ended} ended`
    const fate = !isServed
      ? 'none of the definitions serves this version, or can migrate it'
      : to === null
        ? 'they stay with their version'
        : failing === 0
          ? `all would be migrated to version ${to}`
          : `${active - failing} would be migrated to version ${to}, ${failing} could not be`
    const more = failing > failures.length ? [`  … and ${failing - failures.length} more`] : []
    return [`${what}; ${fate}`, ...failures.map(({ id, reason }) => `  ${id}: ${reason}`), ...more]
  })
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
