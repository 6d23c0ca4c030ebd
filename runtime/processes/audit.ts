/** The audit process: writes what the outboxes hold to PostgreSQL. */
import { setPriority } from 'node:os'
import { startAudit } from '../../persistence/audit/worker.ts'
import { runChild, tell } from './child.ts'

const HEALTH_MS = 1000
/**
 * Where cores are scarce they belong to those who serve: entries can wait in Redis, clients cannot. High enough to
 * give way, low enough to get on while all cores are busy. On Linux it is a thread's own, and inherited by the threads
 * that it starts: it is set before those of the pool begin.
 */
const NICENESS = 5

runChild(async ({ options }, log) => {
  setPriority(NICENESS)
  const audit = await startAudit({
    redisUrl: options.redisUrl,
    databaseUrl: options.databaseUrl,
    prefix: options.keyPrefix,
    threads: options.auditThreads,
    batch: options.auditBatch,
    retentionDays: options.auditRetentionDays,
    log,
  })
  const timer = setInterval(() => tell({ type: 'audit', health: audit.health() }), HEALTH_MS)
  return {
    async drain(deadlineMs) {
      clearInterval(timer)
      await audit.stop({ deadlineMs })
    },
  }
})
