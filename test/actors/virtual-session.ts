/** A session in virtual time: its kernel, and nothing between two steps but what a record holds. */
import { Kernel } from '../../actors/kernel.ts'
import type { Result } from '../../actors/kernel.ts'
import type { SessionDefinition } from '../../actors/define-session.ts'
import type { Plan } from '../../actors/plan.ts'
import { messageOf } from '../../actors/errors.ts'
import type { PublicState, SessionRecord } from '../../actors/session.ts'
import { dueTimes, encodeTimers } from '../../actors/timers.ts'
import { recordOf } from './driven.ts'

export class VirtualSession {
  kernel: Kernel
  readonly emitted: unknown[] = []
  /** What it ended with. */
  readonly errors: string[] = []
  now = 0
  #record: SessionRecord

  constructor(definition: unknown, input?: unknown) {
    this.kernel = new Kernel(definition as SessionDefinition)
    const plan = this.kernel.initial(this.kernel.admitInput(input))
    this.#record = recordOf(plan)
    this.#commit(plan, '-')
  }

  get state(): PublicState {
    return JSON.parse(this.#record.state) as PublicState
  }

  get record(): SessionRecord {
    return this.#record
  }

  send(event: { type: string }): void {
    if (this.state.status !== 'active') return
    const plan = this.kernel.transition(this.kernel.restore(this.#record), event)
    if (plan !== null) this.#commit(plan, this.#record.timers)
  }

  /** The only promise that runs comes to this. */
  settle(result: Result, key?: number): void {
    const live = this.kernel.restore(this.#record)
    const settled = this.kernel.settle(live, key ?? live.runs[0]?.key ?? -1, result)
    if (settled === null) throw new Error('no promise runs')
    this.#commit(settled.plan, this.#record.timers)
  }

  /** The session goes on under a newer version of its definition. */
  migrateTo(definition: unknown): void {
    this.kernel = new Kernel(definition as SessionDefinition)
    this.#commit(this.kernel.migrate(this.#record), this.#record.timers)
  }

  /** Lets time pass, and fires what becomes due, in order. */
  advance(ms: number): void {
    const until = this.now + ms
    for (;;) {
      const [soonest] = dueTimes(this.#record.timers)
      if (soonest === undefined || soonest.dueMs > until) break
      this.now = Math.max(this.now, soonest.dueMs)
      const fired = this.kernel.fire(this.kernel.restore(this.#record), soonest.key)
      if (fired === null) throw new Error('a timer of the record is not armed')
      this.#commit(fired.plan, this.#record.timers)
    }
    this.now = until
  }

  #commit(plan: Plan, timers: string): void {
    const word = encodeTimers(plan.live.timers, timers).replace(/\+(\d+)/g, (_, delay: string) =>
      String(this.now + Number(delay)),
    )
    this.#record = { ...recordOf(plan, this.#record.version + 1), timers: word }
    if (plan.status === 'error') this.errors.push(messageOf(plan.live.snapshot.error))
    this.emitted.push(...plan.emitted.map((text) => JSON.parse(text) as unknown))
    for (const { action } of plan.effects) action.exec?.(action.info, action.params)
  }
}
