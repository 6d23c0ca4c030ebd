/** What is asked of the figures, and whether they meet it. */
import { median } from '../support/results.ts'
import { summarize } from './describe.ts'
import type { Round } from './describe.ts'
import type { AuditReport, Measurement } from './measure.ts'

const MIN_RATIO_WITHOUT_AUDIT = 1
const MIN_RATIO_WITH_AUDIT = 0.8
const MAX_P99_MS = 5
/** The audit keeps up if PostgreSQL takes at least this share of the updates while they are made. */
const KEPT_UP = 0.95

export interface Expectation {
  readonly what: string
  readonly found: string
  readonly isMet: boolean
}

/** @param paced troupe with audit at half of its maximum */
export function judge(own: readonly Round[], paced: Measurement): Expectation[] {
  const { ratios } = summarize(own)
  const plain = median(ratios.troupe)
  const audited = median(ratios['troupe + audit'])
  const runs = own.flat().filter((each) => each.audit !== null)
  const keptUp = runs.filter(
    ({ audit, load }) => audit !== null && keepsUp(audit, load.updatesPerSecond),
  ).length
  return [
    {
      what: `updates/s without audit at least ${MIN_RATIO_WITHOUT_AUDIT} of the baseline`,
      found: plain.toFixed(2),
      isMet: plain >= MIN_RATIO_WITHOUT_AUDIT,
    },
    {
      what: `updates/s with audit at least ${MIN_RATIO_WITH_AUDIT} of the baseline, audit caught up`,
      found: `${audited.toFixed(2)}, caught up in ${keptUp} of ${runs.length} rounds`,
      isMet: audited >= MIN_RATIO_WITH_AUDIT && keptUp === runs.length,
    },
    ...(['getSession', 'updateSession', 'broadcastToSession'] as const).map((method) => {
      const p99 = paced.load.latency[method]?.p99 ?? Infinity
      return {
        what: `p99 of ${method} under ${MAX_P99_MS} ms at half of the maximum`,
        found: `${p99.toFixed(2)} ms`,
        isMet: p99 < MAX_P99_MS,
      }
    }),
  ]
}

function keepsUp(audit: AuditReport, updatesPerSecond: number): boolean {
  return (
    audit.writtenPerSecond >= KEPT_UP * updatesPerSecond &&
    audit.drainMs !== null &&
    audit.eventsFound === audit.eventsAcknowledged
  )
}

export function describeExpectations(expectations: readonly Expectation[]): string {
  return expectations
    .map(({ what, found, isMet }) => `  ${isMet ? 'met    ' : 'NOT MET'}  ${what}: ${found}`)
    .join('\n')
}
