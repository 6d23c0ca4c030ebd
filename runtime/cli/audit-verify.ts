/** `audit verify`: whether every transition is there, once, and in one chain. */
import { compareWithRedis } from '../../persistence/audit/compare.ts'
import type { Comparison } from '../../persistence/audit/compare.ts'
import type { Newest } from '../../persistence/audit/newest.ts'
import { verify } from '../../persistence/audit/verify.ts'
import type { Finding, Verification } from '../../persistence/audit/verify.ts'
import { checkRedis } from '../../persistence/probe-redis.ts'
import { dayOfOption, EXIT_FINDINGS, EXIT_WHOLE, textOf, timeOf, Unusable } from './audit-command.ts'
import type { Asked, AuditCommand } from './audit-command.ts'
import { count, progress, say } from './audit-output.ts'

export const verifyCommand: AuditCommand = {
  usage: 'verify [--session ID | --since TIME] [--kept-since DAY] [--json]',
  options: {
    session: { type: 'string' },
    since: { type: 'string' },
    'kept-since': { type: 'string' },
    json: { type: 'boolean' },
  },
  positionals: { least: 0, most: 0, what: '' },
  run: runVerify,
}

async function runVerify({ database, redisUrl, options, values }: Asked): Promise<number> {
  const session = textOf(values, 'session')
  const sessionIds = session === undefined ? undefined : [session]
  const since = timeOf(values, 'since')
  const keptSince = dayOfOption(values, 'kept-since')
  const startedAt = performance.now()
  const onProgress = progress('rows so far')
  const { isKnown, ...found } = await verify(database, { sessionIds, since, keptSince, onProgress })
  let comparison: Comparison | null = null
  if (redisUrl !== null) {
    await checkRedis(redisUrl)
    comparison = await compareWithRedis(database, redisUrl, options.keyPrefix, sessionIds)
  }
  if (!isKnown && (comparison === null || comparison.sessions === 0))
    throw new Unusable(`the audit holds nothing of a session "${session ?? ''}"`)
  const seconds = Number(((performance.now() - startedAt) / 1000).toFixed(2))
  const findings =
    Object.values(found.counts).reduce((sum, each) => sum + each, 0) +
    (comparison === null ? 0 : comparison.missingCount + comparison.lostCount)
  if (values['json'] === true) {
    const { rejected: rejects } = found.counts
    await say(JSON.stringify({ isWhole: findings === 0, ...found, redis: comparison, rejects, seconds }))
  } else for (const line of describe(found, comparison, seconds, findings)) await say(line)
  return findings === 0 ? EXIT_WHOLE : EXIT_FINDINGS
}

function describe(
  { rows, sessions, days, keptSince, counts, findings }: Omit<Verification, 'isKnown'>,
  comparison: Comparison | null,
  seconds: number,
  sum: number,
): string[] {
  const range =
    days === null ? '' : days.from === days.to ? ` of ${days.from}` : ` from ${days.from} to ${days.to}`
  const unseen = Object.values(counts).reduce((total, each) => total + each, 0) - findings.length
  return [
    `Looked at ${count(rows, 'row')} of ${count(sessions, 'session')}${range} in ${seconds} s.`,
    ...(keptSince === null ? [] : [`Days before ${keptSince} are not kept.`]),
    ...findings.map((finding) => `  ${sentenceOf(finding)}`),
    ...(unseen > 0 ? [`  … and ${unseen.toLocaleString('en')} more`] : []),
    ...describeComparison(comparison),
    ...(counts.rejected === 0
      ? []
      : [
          `${count(counts.rejected, 'record')} could not be stored and stand${counts.rejected === 1 ? 's' : ''} aside: audit rejects.`,
        ]),
    sum === 0
      ? 'The audit is whole: nothing is missing, forked or out of line.'
      : `${count(sum, 'finding')}.`,
  ]
}

function sentenceOf(finding: Finding): string {
  if (finding.kind === 'rejected')
    return `rejected    ${finding.sessionId ?? '(no session)'}: entry ${finding.streamId} of outbox ${finding.partition} could not be stored`
  const where = `${finding.sessionId} (epoch ${finding.epoch})`
  const versions = (from: number, to: number): string =>
    from === to ? `version ${from}` : `versions ${from} to ${to}`
  switch (finding.kind) {
    case 'missing':
      return `missing     ${where}: ${versions(finding.from, finding.to)} ${finding.from === finding.to ? 'is' : 'are'} not there, later ones are`
    case 'fork':
      return `fork        ${where}: version ${finding.version} was committed as ${finding.commitIds.join(' and as ')}`
    case 'broken-chain':
      return `chain       ${where}: version ${finding.version} (${finding.commitId}) follows ${finding.previousCommitId ?? 'nothing'}, which is not the commit before it`
    case 'taken-back':
      return `taken back  ${where}: ${versions(finding.from, finding.to)} lost by Redis, which went on from before in epoch ${finding.by}`
    case 'no-end':
      return `no end      ${where}: neither deleted nor expired behind version ${finding.version}, though another life began in epoch ${finding.next}`
    case 'newest-missing':
      return `newest      ${where}: version ${finding.version} (${finding.commitId}) is not there, though troupe_sessions names it as the newest`
  }
}

function describeComparison(comparison: Comparison | null): string[] {
  if (comparison === null)
    return ['What still waits in Redis was not looked at: give REDIS_URL (--redis-url).']
  const { sessions, waiting, oldestMs, behind, missing, missingCount, lost, lostCount } = comparison
  const lag =
    waiting === 0
      ? 'nothing waits in the outboxes'
      : `${count(waiting, 'transition')} of the outboxes still wait${waiting === 1 ? 's' : ''}, for ${(oldestMs / 1000).toFixed(1)} s at most; ${count(behind, 'session')} behind`
  const name = (what: string, each: Newest): string =>
    `  ${what} ${each.sessionId} (epoch ${each.epoch}): version ${each.version} (${each.commitId})`
  return [
    `Compared with ${count(sessions, 'session')} of Redis: ${lag}.`,
    ...missing.map((each) => `${name('not audited', each)} is in Redis, and neither in an outbox nor here`),
    ...(missingCount > missing.length ? [`  … and ${missingCount - missing.length} more`] : []),
    ...lost.map(
      (each) => `${name('lost       ', each)} is newer than what Redis holds, if it holds anything of it`,
    ),
    ...(lostCount > lost.length ? [`  … and ${lostCount - lost.length} more`] : []),
  ]
}
