/** What came of a run of load, and how it is shown. */
import type { Percentiles } from './histogram.ts'
import type { LoadConfig } from './plan.ts'
import type { Method } from './requests.ts'

export interface LoadReport {
  readonly config: LoadConfig
  readonly elapsedMs: number
  /** Answered as expected during the measured time, per second. */
  readonly requestsPerSecond: number
  readonly updatesPerSecond: number
  readonly notificationsPerSecond: number
  /** Milliseconds; paced: since due, closed loop: since sent. */
  readonly latency: Readonly<Partial<Record<Method, Percentiles>>>
  /** Paced: how late the driver itself was in sending (its timer ticks once a millisecond); part of each latency. */
  readonly driverLag: Percentiles
  /** Replies other than the expected, over the whole run. */
  readonly failures: Readonly<Record<string, number>>
  readonly unanswered: number
  /** Sessions read back at the end: `wrong` are those whose version is not 1 and their acknowledged updates. */
  readonly verification: { readonly sessions: number; readonly wrong: number; readonly updates: number }
  /** CPU that the driver used, in cores; near 1 it bounds what is measured. */
  readonly driverCores: number
}

/** Lines for people. */
export function describeLoad(report: LoadReport): string {
  const { config, verification } = report
  const lines = [
    `${config.rate === null ? `closed loop, depth ${config.depth}` : `paced, ${Math.round(config.rate)} requests/s due`}` +
      `, ${config.clients} clients, ${config.sessions} sessions${config.subscribe ? ', subscribed' : ''}: ` +
      `${Math.round(report.updatesPerSecond)} acknowledged updates/s, ${Math.round(report.requestsPerSecond)} requests/s` +
      (report.notificationsPerSecond > 0
        ? `, ${Math.round(report.notificationsPerSecond)} notifications/s`
        : ''),
    table(
      ['method', 'count', 'p50 ms', 'p90', 'p99', 'p99.9', 'max'],
      [
        ...Object.entries(report.latency).map(([method, p]) => [method, ...figures(p)]),
        ...(config.rate === null ? [] : [['(driver late)', ...figures(report.driverLag)]]),
      ],
    ),
    `driver used ${report.driverCores.toFixed(2)} cores; ${verification.sessions} sessions read back, ` +
      (verification.wrong === 0
        ? `all at their acknowledged version`
        : `${verification.wrong} NOT at theirs`),
  ]
  if (report.unanswered > 0) lines.push(`UNANSWERED: ${report.unanswered}`)
  for (const [what, count] of Object.entries(report.failures)) lines.push(`FAILED ${count} times: ${what}`)
  return lines.join('\n')
}

function figures(p: Percentiles): string[] {
  return [String(p.count), ...[p.p50, p.p90, p.p99, p.p999, p.max].map((ms) => ms.toFixed(2))]
}

/** Columns padded to their widest cell; the first is aligned to the left. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)))
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .map((line) => `  ${line.trimEnd()}`)
    .join('\n')
}
