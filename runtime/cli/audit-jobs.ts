/** `audit jobs`: wake-up jobs that have failed for good, and another try. */
import { failedJobs } from '../../persistence/audit/failed-jobs.ts'
import { checkRedis } from '../../persistence/probe-redis.ts'
import { EXIT_FINDINGS, EXIT_WHOLE, Unusable } from './audit-command.ts'
import type { Asked, AuditCommand } from './audit-command.ts'
import { count, say } from './audit-output.ts'

export const jobsCommand: AuditCommand = {
  usage: 'jobs [--retry] [--json]',
  options: { retry: { type: 'boolean' }, json: { type: 'boolean' } },
  positionals: { least: 0, most: 0, what: '' },
  run: runJobs,
}

async function runJobs({ redisUrl, options, values }: Asked): Promise<number> {
  if (redisUrl === null) throw new Unusable('jobs are kept in Redis: give REDIS_URL (--redis-url)')
  await checkRedis(redisUrl)
  const isRetried = values['retry'] === true
  const jobs = await failedJobs(redisUrl, options.keyPrefix, isRetried)
  for (const job of jobs) {
    const { id, group, attempts, failedAt, reason } = job
    if (values['json'] === true) await say(JSON.stringify(job))
    else
      await say(
        `${failedAt.toISOString()}  job ${id}, group ${group}, ${count(attempts, 'attempt')}: ${reason}`,
      )
  }
  if (values['json'] !== true)
    await say(
      jobs.length === 0
        ? 'No job has failed for good.'
        : isRetried
          ? `${count(jobs.length, 'job')} tried again.`
          : `${count(jobs.length, 'job')} failed; the transitions wait in Redis. audit jobs --retry tries them again.`,
    )
  return jobs.length === 0 || isRetried ? EXIT_WHOLE : EXIT_FINDINGS
}
