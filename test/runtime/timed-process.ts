import { systemClock } from '../../runtime/clock.ts'
import { Clockwork } from '../../runtime/host/clockwork.ts'
import type { ProcessOptions, TestCluster, TestProcess } from '../support/hosts.ts'

/** A process that also looks after what is due, until it is stopped. */
export interface TimedProcess extends TestProcess {
  readonly stop: () => void
}

export async function timedProcess(
  cluster: TestCluster,
  definitions: ProcessOptions['definitions'] = [],
  options: Pick<ProcessOptions, 'refusal'> = {},
): Promise<TimedProcess> {
  const later: { clockwork: Clockwork | null } = { clockwork: null }
  const process = await cluster.process({
    ...options,
    definitions,
    onTimers: (record) => later.clockwork?.arm(record),
    onUnknown: (partition) => later.clockwork?.yield(partition),
  })
  const { store, host, log } = process
  const clockwork = new Clockwork({
    store,
    expire: (id) => host.expire(id),
    fire: (id, downtime) => host.fire(id, downtime),
    deliver: (partition) => host.deliver(partition),
    takeOver: (id, node) => host.takeOver(id, node),
    clock: systemClock,
    log,
  })
  later.clockwork = clockwork
  clockwork.start()
  return { ...process, stop: () => clockwork.stop() }
}
