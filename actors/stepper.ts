/** How a machine takes one macrostep without acting: alone (`plain-machine.ts`), or with actors (`actor-tree.ts`). */
import type {
  AnyActorLogic,
  AnyActorRef,
  AnyMachineSnapshot,
  EventObject,
  ExecutableActionObject,
} from 'xstate'
import type { ActorPath, Live } from './plan.ts'

/** Microsteps of one macrostep, unless the machine sets its own: an eventless loop must not hang the process. */
export const MAX_MICROSTEPS = 1000
/** Events that actors send each other within one macrostep. */
export const MAX_MESSAGES = 1000

/** What an actor asked for, in the order in which it did. */
export interface Request {
  /** `null`: the machine itself, where it runs alone. */
  readonly self: AnyActorRef | null
  readonly action: ExecutableActionObject
}

export interface Outcome {
  readonly snapshot: AnyMachineSnapshot
  readonly root: AnyActorRef | null
  readonly requests: readonly Request[]
  /** Promise actors that were made in this step. */
  readonly made: readonly AnyActorRef[]
  /** Whether anything is to be stored. */
  readonly isChanged: boolean
  /** Where an actor stands now; `null`: it is no more. */
  readonly pathOf: (self: AnyActorRef | null) => ActorPath | null
  /** Whether the actor that stood there before the step is still there. */
  readonly isKept: (path: ActorPath) => boolean
}

/** What it takes to run a promise actor elsewhere. */
export interface PromiseActor {
  /** The key of its logic in `setup({ actors })`, or XState's name of an inline one. */
  readonly src: string
  readonly logic: AnyActorLogic
  readonly input: unknown
}

/** What a record holds of the actors. */
export interface Persisted {
  readonly context: unknown
  readonly historyValue: object
  readonly children: object
}

export interface Stepper {
  initial(input: unknown): Outcome
  /** An actor that is not there gets nothing. @throws whatever the machine throws */
  step(live: Live, path: ActorPath, event: EventObject): Outcome
  /** @param persisted as XState persists it; it is used up */
  restore(persisted: object): Pick<Live, 'snapshot' | 'root'>
  /** What a promise actor is made of. */
  promiseAt(live: Live, path: ActorPath): PromiseActor | null
  /** @throws Error if an actor cannot be named in a record */
  persist(snapshot: AnyMachineSnapshot): Persisted
}
