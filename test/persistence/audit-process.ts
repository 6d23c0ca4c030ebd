/** An audit process to be killed: options as JSON in the first argument; says "ready" once it works. */
import { startAudit, type AuditOptions } from '../../persistence/audit/worker.ts'
import { quiet } from './audit-support.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as Omit<AuditOptions, 'log'>
const service = await startAudit({ ...options, log: quiet })
const timer = setInterval(() => {
  if (service.health().reason === 'starting') return
  clearInterval(timer)
  process.stdout.write('ready\n')
}, 20)
