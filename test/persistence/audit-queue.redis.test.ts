import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { PARTITIONS } from '../../actors/partitions.ts'
import { GROUPS } from '../../persistence/audit/groups.ts'
import { AuditWakeup } from '../../persistence/audit/queue.ts'
import { redisUrl } from '../support/servers.ts'
import { quiet, until } from './audit-support.ts'

it('a dashboard sees the wake-ups of the audit, by the names that docs/operating.md tells', async () => {
  const keyPrefix = 'dashboard'
  const wakeup = new AuditWakeup({ redisUrl: redisUrl(), prefix: keyPrefix, log: quiet })
  const connection = new Redis(redisUrl())
  const queue = new Queue('audit', { connection, prefix: `{${keyPrefix}}` })
  try {
    for (let partition = 0; partition < PARTITIONS; partition++) wakeup.notify(partition)
    await until(async () => (await queue.getJobCounts())['waiting'] === GROUPS, 'a job for each group waits')
    const jobs = await queue.getWaiting()
    expect(new Set(jobs.map(({ name }) => name))).toEqual(new Set(['drain']))
    const groups = jobs.map(({ data }) => (data as { group: number }).group)
    expect(groups.sort((a, b) => a - b)).toEqual(Array.from({ length: GROUPS }, (_, group) => group))
  } finally {
    await wakeup.stop({ deadlineMs: 1_000 })
    await queue.obliterate({ force: true })
    await queue.close()
    connection.disconnect()
  }
})
