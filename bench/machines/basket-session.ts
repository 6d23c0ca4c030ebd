/** A basket session in the middle of its life, for the benches that need neither Redis nor a server. */
import type { SessionDefinition } from '../../actors/define-session.ts'
import { Kernel } from '../../actors/kernel.ts'
import type { Live } from '../../actors/plan.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { basketMachine } from './basket-machine.ts'
import type { BasketEvent } from './basket-machine.ts'

const basketDefinition: SessionDefinition = {
  kind: 'troupe.session',
  name: 'basket',
  version: 1,
  machine: basketMachine,
}

/** The n-th event of an endless life; each changes the context. */
export function nthEvent(n: number): BasketEvent {
  return { type: 'SET_QUANTITY', line: 2, quantity: 1 + (n % 9) }
}

/** A kernel, its session after one event, and the record that would be stored. */
export function createBasket(): { kernel: Kernel; live: Live; record: SessionRecord } {
  const kernel = new Kernel(basketDefinition)
  const plan = kernel.transition(kernel.initial(undefined).live, nthEvent(1))
  if (plan === null) throw new Error('the basket ignored its first event')
  const record: SessionRecord = {
    id: 'bench-1' as SessionId,
    epoch: '1700000000000000',
    version: 2,
    commitId: 'bench-1',
    machine: 'basket',
    machineVersion: 1,
    createdAt: 1_700_000_000_000,
    updatedAt: 1_700_000_000_001,
    expiresAt: 1_700_003_600_001,
    ttlMs: 3_600_000,
    doneTtlMs: 3_600_000,
    timers: '-',
    runs: '-',
    writers: '-',
    state: plan.state,
    internals: plan.internals,
  }
  return { kernel, live: plan.live, record }
}
