/** What the kernel computes: the next snapshot, and everything to be done about it, as data. */
import type { AnyMachineSnapshot, ExecutableActionObject } from 'xstate'
import type { SessionStatus } from './session.ts'

/** Something to do once the commit has won. Timers, invocations and children will be further kinds. */
interface RunAction {
  readonly kind: 'action'
  readonly action: ExecutableActionObject
}

export type { AnyMachineSnapshot }

export type Effect = RunAction

/** One macrostep, computed and not yet committed. */
export interface Plan {
  readonly snapshot: AnyMachineSnapshot
  readonly status: SessionStatus
  /** JSON texts of the record, see actors/record-text.ts. */
  readonly state: string
  readonly internals: string
  /** JSON text of the state value before; `null` for a creation. */
  readonly from: string | null
  /** JSON texts of emitted events, in order. */
  readonly emitted: readonly string[]
  /** In the order in which the machine asked for them. */
  readonly effects: readonly Effect[]
}
