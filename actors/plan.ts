/** What the kernel computes: the next state of the actors, and everything to be done about it, as data. */
import type { AnyActorRef, AnyMachineSnapshot, EventObject, ExecutableActionObject } from 'xstate'
import type { OutgoingMail, Taken } from './mail.ts'
import type { SessionStatus } from './session.ts'

/** Which actor of a session's tree: the ids from the machine's child downwards; empty: the machine itself. */
export type ActorPath = readonly string[]

/** An event that is to be sent later. When, is decided by the commit that arms it, on Redis' clock. */
export interface Timer {
  /** Unique in the session's life: a timer that was cancelled and armed again is another one. */
  readonly key: number
  /** Whose it is: it is cancelled when this actor stops. */
  readonly source: ActorPath
  /** Whom its event is for: it is cancelled too when that one stops. */
  readonly target: ActorPath
  /** What `cancel` calls it. */
  readonly id: string | null
  /** Whether `cancel` still reaches it, see `outOfReach`. */
  readonly isReachable: boolean
  readonly event: EventObject
  /** From the commit that armed it, in whole ms. */
  readonly delayMs: number
}

/** A promise actor that some process runs, or is to run. */
export interface Run {
  /** Names this execution: a result under another key is of an earlier one, and refused. */
  readonly key: number
  readonly path: ActorPath
  /** The same for all executions of this invocation: for idempotent calls to other services. */
  readonly effectKey: string
  /** 1, 2, …: counts executions. */
  readonly attempt: number
}

/** A session's actors as a process holds them in memory, together with what XState does not hold. */
export interface Live {
  readonly snapshot: AnyMachineSnapshot
  /** The running actors of a machine that has any. They move on in place: who computes a step has used them up. */
  readonly root: AnyActorRef | null
  readonly timers: readonly Timer[]
  readonly runs: readonly Run[]
  /** Number of the next timer or execution. */
  readonly nextKey: number
  /** What it has had from other sessions. */
  readonly taken: Taken
}

/** Something to do once the commit has won. */
interface RunAction {
  readonly kind: 'action'
  readonly action: ExecutableActionObject
}

export type Effect = RunAction

/** One macrostep, computed and not yet committed. */
export interface Plan {
  readonly live: Live
  readonly status: SessionStatus
  /** JSON texts of the record, see actors/record-text.ts. */
  readonly state: string
  readonly internals: string
  /** JSON text of the state value before; `null` for a creation. */
  readonly from: string | null
  /** JSON texts of emitted events, in order. */
  readonly emitted: readonly string[]
  /** Events for other sessions, in order. */
  readonly mail: readonly OutgoingMail[]
  /** In the order in which the machine asked for them. */
  readonly effects: readonly Effect[]
}
