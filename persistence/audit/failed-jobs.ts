/** Wake-up jobs whose attempts were all refused by PostgreSQL. What they were to write is in the outboxes still, and the sweep announces it again; these tell why. */
import { Redis } from 'ioredis'
import { openAuditQueue } from './queue.ts'

export interface FailedJob {
  readonly id: string
  readonly group: number
  readonly attempts: number
  readonly failedAt: Date
  readonly reason: string
}

/**
 * All of them, oldest first.
 * @param retry whether each is put into the queue once more
 * @throws Error of Redis
 */
export async function failedJobs(redisUrl: string, prefix: string, retry: boolean): Promise<FailedJob[]> {
  const redis = new Redis(redisUrl, {
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: null,
  })
  redis.on('error', () => undefined)
  try {
    await redis.connect()
    const queue = openAuditQueue(redis, prefix)
    const jobs = await queue.getFailed(0, -1)
    const found = jobs.map(({ id = '', data, attemptsMade, finishedOn = 0, failedReason }): FailedJob => ({
      id,
      group: data.group,
      attempts: attemptsMade,
      failedAt: new Date(finishedOn),
      reason: failedReason,
    }))
    if (retry) for (const job of jobs) await job.retry('failed', { resetAttemptsMade: true })
    await queue.close()
    return found.sort((a, b) => a.failedAt.getTime() - b.failedAt.getTime())
  } finally {
    redis.disconnect()
  }
}
