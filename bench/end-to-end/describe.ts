/** Tables for people. */
import { table } from '../load/report.ts'
import type { LoadReport } from '../load/report.ts'
import { median } from '../support/results.ts'
import type { Measurement } from './measure.ts'
import { variants } from './variants.ts'
import type { Variant } from './variants.ts'

/** Cores; the kernel alone uses less. */
export const MANY_OTHERS = 0.3

/** One round's measurements, in the order of {@link variants}. */
export type Round = readonly Measurement[]

export function describeMeasurement({ variant, load, cpu, audit }: Measurement): string {
  const update = load.latency.updateSession
  const servers = cpu.servers.filter((cores) => cores >= 0.005).map((cores) => cores.toFixed(2))
  return (
    `  ${variant.padEnd(14)} ${perSecond(load.updatesPerSecond)} updates/s` +
    (update === undefined ? '' : `  p50 ${update.p50.toFixed(1)} p99 ${update.p99.toFixed(1)} ms`) +
    (load.notificationsPerSecond > 0 ? `  ${perSecond(load.notificationsPerSecond)} notifications/s` : '') +
    `  cores: servers ${servers.join(' + ') || '?'}, Redis ${cpu.redis.toFixed(2)}` +
    (cpu.postgres >= 0.005 ? `, PostgreSQL ${cpu.postgres.toFixed(2)}` : '') +
    `, driver ${load.driverCores.toFixed(2)}, others ${cpu.others.toFixed(2)}` +
    (audit === null ? '' : `\n    audit: ${describeAudit(audit)}`) +
    troubles(load, cpu.others)
  )
}

function describeAudit(audit: NonNullable<Measurement['audit']>): string {
  const drain =
    audit.drainMs === null
      ? 'NOT empty after 3 minutes'
      : `empty ${(audit.drainMs / 1000).toFixed(1)} s after the end`
  const found =
    audit.eventsFound === audit.eventsAcknowledged
      ? `all ${audit.eventsAcknowledged} acknowledged updates found in PostgreSQL`
      : `${audit.eventsFound} updates in PostgreSQL, ${audit.eventsAcknowledged} ACKNOWLEDGED`
  return (
    `${perSecond(audit.writtenPerSecond)} updates/s written while measured, backlog ` +
    `${audit.backlogAtStart} → ${audit.backlogAtEnd}, ${drain}; ${found}`
  )
}

function troubles(load: LoadReport, others: number): string {
  const { wrong } = load.verification
  return [
    ...(wrong === 0 ? [] : [`${wrong} sessions are NOT at their acknowledged version`]),
    ...(load.unanswered === 0 ? [] : [`${load.unanswered} requests were NOT answered`]),
    ...Object.entries(load.failures).map(([what, count]) => `${count} times ${what}`),
    ...(others < MANY_OTHERS
      ? []
      : [`other programs used ${others.toFixed(2)} cores: repeat it on a quiet machine`]),
    ...(load.driverCores < 0.85 ? [] : ['the driver itself was the limit: this says nothing of the server']),
  ]
    .map((line) => `\n    TROUBLE: ${line}`)
    .join('')
}

/** Medians over rounds, and the ratio to the baseline within each round. */
export function summarize(rounds: readonly Round[]): {
  updatesPerSecond: Record<Variant, number>
  ratios: Record<Variant, number[]>
} {
  const of = (round: Round, variant: Variant): number =>
    round.find((each) => each.variant === variant)?.load.updatesPerSecond ?? 0
  const each = <T>(compute: (variant: Variant) => T): Record<Variant, T> =>
    Object.fromEntries(variants.map((variant) => [variant, compute(variant)])) as Record<Variant, T>
  return {
    updatesPerSecond: each((variant) => median(rounds.map((round) => of(round, variant)))),
    ratios: each((variant) => rounds.map((round) => of(round, variant) / of(round, 'baseline'))),
  }
}

/** CPU time per update says more than updates per second where other programs took their share of the machine. */
export function describeSummary(rounds: readonly Round[]): string {
  const { updatesPerSecond, ratios } = summarize(rounds)
  const perUpdate = (variant: Variant, coresOf: (cpu: Measurement['cpu']) => number): string =>
    median(
      rounds
        .flat()
        .filter((each) => each.variant === variant)
        .map(({ cpu, load }) => (coresOf(cpu) / load.updatesPerSecond) * 1e6),
    ).toFixed(0)
  return table(
    ['medians', 'updates/s', 'ratio', 'by round', 'CPU µs per update: servers', 'Redis', 'PostgreSQL'],
    variants.map((variant) => [
      variant,
      perSecond(updatesPerSecond[variant]),
      median(ratios[variant]).toFixed(2),
      ratios[variant].map((ratio) => ratio.toFixed(2)).join(' '),
      perUpdate(variant, ({ servers }) => servers.reduce((sum, cores) => sum + cores, 0)),
      perUpdate(variant, ({ redis }) => redis),
      perUpdate(variant, ({ postgres }) => postgres),
    ]),
  )
}

export function perSecond(figure: number): string {
  return Math.round(figure).toString()
}
