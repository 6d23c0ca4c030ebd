/** A session without store and host: its kernel, and the state it is in. */
import type { SessionDefinition } from '../../actors/define-session.ts'
import { Kernel } from '../../actors/kernel.ts'
import type { Plan } from '../../actors/plan.ts'
import { encodeRuns } from '../../actors/runs.ts'
import { encodeTimers } from '../../actors/timers.ts'
import type { PublicState, SessionId, SessionRecord } from '../../actors/session.ts'

export function recordOf({ state, internals, live }: Plan, version = 1): SessionRecord {
  return {
    id: 'driven' as SessionId,
    epoch: '1000',
    version,
    commitId: `node-${version}`,
    machine: 'driven',
    machineVersion: 1,
    createdAt: 1,
    updatedAt: 1,
    expiresAt: null,
    ttlMs: null,
    doneTtlMs: null,
    timers: encodeTimers(live.timers, '-').replaceAll('+', ''),
    runs: encodeRuns(live.runs, '-', 'node'),
    writers: '-',
    state,
    internals,
  }
}

export class Driven {
  readonly kernel: Kernel
  plan: Plan

  constructor(definition: unknown, input?: unknown) {
    this.kernel = new Kernel(definition as SessionDefinition)
    this.plan = this.kernel.initial(this.kernel.admitInput(input))
  }

  get state(): PublicState {
    return JSON.parse(this.plan.state) as PublicState
  }

  get context(): Record<string, unknown> {
    return this.state.context as Record<string, unknown>
  }

  /** As a client's event. @returns whether anything is to be committed */
  send(type: string, members: object = {}): boolean {
    const event = this.kernel.admit({ type, ...members })
    const plan = this.kernel.transition(this.plan.live, event)
    if (plan !== null) this.plan = plan
    return plan !== null
  }

  /** Forgets everything but what a record holds. */
  restore(): void {
    this.plan = { ...this.plan, live: this.kernel.restore(recordOf(this.plan)) }
  }
}
