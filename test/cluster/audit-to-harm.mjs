/**
 * An audit process as in service, of which a thread can be ended from outside: options of the audit as JSON in the first argument; its parent
 * sends the way in which a thread is to end.
 */
import { BroadcastChannel } from 'node:worker_threads'
import { startAudit } from '../../dist/persistence/audit/worker.js'

const nothing = () => undefined
const warn = (details, message) => process.send?.({ ...details, message })
await startAudit({
  ...JSON.parse(process.argv[2]),
  log: { debug: nothing, info: nothing, warn, error: warn },
})
/** Those that have worked, oldest first. */
const alive = []
const wanted = []
const threads = new BroadcastChannel('threads')
threads.onmessage = ({ data }) => {
  if ('born' in data) alive.push(data.born)
  if ('dies' in data) process.send?.({ message: 'a thread dies' })
  end()
}
process.on('message', (how) => {
  wanted.push(how)
  end()
})
function end() {
  while (wanted.length > 0 && alive.length > 0)
    threads.postMessage({ end: alive.shift(), how: wanted.shift() })
}
process.on('disconnect', () => process.exit())
process.send({ message: 'ready' })
