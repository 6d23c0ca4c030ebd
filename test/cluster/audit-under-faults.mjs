/**
 * A process that commits and audits, to be harmed: options of the audit as JSON in the first argument. Its parent tells it the partitions in
 * which something was committed. All of it comes from `dist/`, so that it starts as fast as in service.
 */
import { loadFaultHook } from '../../dist/persistence/audit/fault-points.js'
import { AuditWakeup } from '../../dist/persistence/audit/queue.js'
import { startAudit } from '../../dist/persistence/audit/worker.js'

const options = JSON.parse(process.argv[2])
const nothing = () => undefined
const warn = (details, message) => process.send({ ...details, message })
const log = { debug: nothing, info: nothing, warn, error: warn }
const faultPoint = await loadFaultHook(options.faultModule)
await startAudit({ ...options, log })
const wakeup = new AuditWakeup({ ...options, log, faultPoint, backoffMs: 50 })
process.on('message', (partition) => wakeup.notify(partition))
process.on('disconnect', () => process.exit())
process.send({ message: 'ready' })
