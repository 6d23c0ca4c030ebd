/** The audit process: writes what the outboxes hold to PostgreSQL. */
import { startAudit } from '../../persistence/audit/worker.ts'
import { runChild, tell } from './child.ts'

const HEALTH_MS = 1000

runChild(async ({ options }, log) => {
  const audit = await startAudit({
    redisUrl: options.redisUrl,
    databaseUrl: options.databaseUrl,
    prefix: options.keyPrefix,
    threads: options.auditThreads,
    batch: options.auditBatch,
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
