/** What a developer writes: a named, versioned machine and the policies of its sessions. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type {
  AnyStateMachine,
  ContextFrom,
  EventFromLogic,
  InputFrom,
  MachineContext,
  OutputFrom,
  SnapshotFrom,
  StateValue,
} from 'xstate'
import type { Authorize } from './authorization.ts'
import type { Principal } from './ports.ts'
import type { SessionId } from './session.ts'

/** How a promise actor is run. */
export interface ActorPolicy {
  /** When the process that ran it died: run it again, on another one, or fail. Default `retry`. */
  readonly onCrash?: 'retry' | 'fail'
  /** How often it is run when it rejects; the last error is the one that counts. Default 1. A process that takes it over begins anew. */
  readonly attempts?: number
  /** Wait before the second attempt; it doubles each time. Default 1000 ms. */
  readonly backoffMs?: number
  /** An attempt that takes longer is aborted, and counts as rejected. Default: no limit. */
  readonly timeoutMs?: number
}

/**
 * What the audit gets of one part of a transition: all of it; nothing; or what a function makes of a copy of it, which must be pure,
 * synchronous and return JSON (`undefined`: nothing). Where it throws, or returns what is none, the audit gets nothing of that part.
 */
export type AuditRule<T> = 'full' | 'none' | ((part: T) => unknown)

/** What comes to a machine beside its own events: results of its actors, its own delays, mail that reached nobody, … */
export interface RuntimeEvent {
  readonly type: `xstate.${string}` | `troupe.${string}`
  readonly [member: string]: unknown
}

/** What is kept out of the audit, part by part; each is `full` by default. Redis and clients get all of it in any case. */
export interface AuditPolicy<M extends AnyStateMachine = AnyStateMachine> {
  readonly context?: AuditRule<ContextFrom<M>>
  /** Of clients, timers, promise actors and other sessions. Their type is always kept: of `none`, it is all that is. */
  readonly event?: AuditRule<EventFromLogic<M> | RuntimeEvent>
  readonly input?: AuditRule<InputFrom<M>>
  readonly output?: AuditRule<OutputFrom<M>>
}

/** Input of {@link defineSession}. */
export interface SessionConfig<M extends AnyStateMachine> {
  /** How clients name it: a letter, then up to 63 letters, digits, `-`, `_`. */
  readonly name: string
  /** 1, 2, 3, …: raise it with every change that stored sessions would notice. */
  readonly version: number
  readonly machine: M
  /** Checks events of clients before the machine sees them: any Standard Schema (zod, valibot, …), synchronous. */
  readonly events?: StandardSchemaV1<unknown, EventFromLogic<M>>
  /** Checks the input of `createSession`, and what it returns is what the machine gets. */
  readonly input?: StandardSchemaV1<unknown, InputFrom<M>>
  /** Check what the machine makes, at each transition; what does not fit is refused, and nothing is committed. */
  readonly context?: StandardSchemaV1<unknown, unknown>
  readonly output?: StandardSchemaV1<unknown, unknown>
  readonly emitted?: StandardSchemaV1<unknown, unknown>
  /** Lifetime in ms after the last commit; `null`: for ever. Default: the runtime's `sessionTtlMs` (1 h). */
  readonly ttlMs?: number | null
  /** The same once the machine has reached its end. Default: `ttlMs`. */
  readonly doneTtlMs?: number | null
  /** How its promise actors are run, by their key in `setup({ actors })`. */
  readonly actors?: Readonly<Record<string, ActorPolicy>>
  /**
   * What becomes of timers that came due while no process ran: `deadline` (default): they fire at once; `remaining`: after what
   * was left of them when the last process stopped; `restart`: after their whole delay.
   */
  readonly overdueTimers?: 'deadline' | 'remaining' | 'restart'
  /**
   * How many of its last commits a session keeps, so that a client that comes back gets each update and emitted event that it missed
   * and not only the newest view; each takes as much memory in Redis as the session itself. Default 0; at most 1000.
   */
  readonly history?: number
  /**
   * Whether clients may ask who is subscribed (docs/guide/defining-sessions.md). A function tells what others see of a member beside its
   * principal's id: JSON, at most 1 KiB; it is asked once for each subscription. Default false, which costs nothing.
   */
  readonly presence?: boolean | ((principal: Principal | null) => unknown)
  /**
   * What is kept out of the audit (docs/guide/audit.md). Rows that it changed are marked, and no replay takes them for equal; rules of
   * lists are asked with the context as the audit has it. Default: nothing is.
   */
  readonly audit?: AuditPolicy<M>
  /** What a principal gets to see instead of the context; must be pure. Default: the context. */
  readonly view?: (snapshot: SnapshotFrom<M>, principal: Principal | null) => unknown
  /**
   * Principals for whom it returns the same text get the same view, which is made and encoded once for all of them; must be pure.
   * Default: only those with the same id and claims share one.
   */
  readonly viewKey?: (snapshot: SnapshotFrom<M>, principal: Principal | null) => string
  /**
   * Who may do what: asked before each call of a client, with the state that the call rests on, and before each update goes to a
   * subscriber. Must be synchronous and pure; what is not `true`, or throws, is no. Default: everybody may do everything.
   */
  readonly authorize?: Authorize<M>
  /**
   * Makes the state of a session of an older version one of this version; must be pure. Runs when an event, a timer or a result comes to
   * the session, once all processes that serve the definition know this version; reads show what it would return. Without it
   * sessions stay with their version for ever.
   */
  readonly migrate?: (stored: StoredSession) => MigratedSession<M>
}

/** A session of an older version, for `migrate`; all of it is a copy, and may be changed and returned. */
export interface StoredSession {
  /** Version of the definition that made it. */
  readonly version: number
  readonly value: StateValue
  readonly context: MachineContext
  /** Its actors by their ids, invoked and spawned. */
  readonly children: Record<string, StoredActor>
}

/** An actor of a stored session; a machine has a value and a context, `fromTransition` a context, a promise neither. */
export interface StoredActor {
  /** Key of its logic in `setup({ actors })`, or XState's name of an inline one. */
  readonly src: string
  value?: StateValue
  context?: MachineContext
  children: Record<string, StoredActor>
}

/** What `migrate` returns. */
export interface MigratedSession<M extends AnyStateMachine = AnyStateMachine> {
  /** A state of the machine, that is not final; completed by initial states where it is not told to the leaves. */
  readonly value: StateValue
  readonly context: ContextFrom<M>
  /** Actors that go on, with the state given here; the others stop. Default: all that the machine still has a place for. */
  readonly children?: Readonly<Record<string, StoredActor>>
  /**
   * Paths of states (`'paying.card'`; `''`: the machine itself) in which the session was before, and whose timers and invocations
   * are to start where it has none. Those of states that are new to it start by themselves.
   */
  readonly starts?: readonly string[]
}

/** No lifetime and no timer is longer: a hundred years, in ms. */
export const LONGEST_MS = 100 * 365 * 86_400_000

/** Whether a lifetime can be used: a positive whole number of ms, or `null` for no limit. */
export function isLifetime(ms: unknown): ms is number | null {
  return ms === null || (Number.isSafeInteger(ms) && (ms as number) > 0 && (ms as number) <= LONGEST_MS)
}

/** A definition as the runtime holds it; made by {@link defineSession}. */
export interface SessionDefinition<M extends AnyStateMachine = AnyStateMachine> extends SessionConfig<M> {
  readonly kind: 'troupe.session'
}

/** A session id that remembers, for the type checker only, which definition it belongs to. */
export type SessionIdOf<D> = SessionId & { readonly __definition?: D }

type MachineOf<D> = D extends { readonly machine: infer M extends AnyStateMachine } ? M : AnyStateMachine
export type EventOf<D> = EventFromLogic<MachineOf<D>>
export type InputOf<D> = InputFrom<MachineOf<D>>
export type ContextOf<D> = ContextFrom<MachineOf<D>>

/**
 * Declares a kind of session. Nothing happens until the definition is given to a runtime, which checks it.
 *
 * @example
 * export default defineSession({ name: 'counter', version: 1, machine: counterMachine })
 */
export function defineSession<const M extends AnyStateMachine>(
  config: SessionConfig<M>,
): SessionDefinition<M> {
  return { ...config, kind: 'troupe.session' }
}

/** Whether a module's export is a definition, also one made by another copy of this package. */
export function isSessionDefinition(value: unknown): value is SessionDefinition {
  return (
    typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'troupe.session'
  )
}
