/** What of a stored session fits a machine of another version. */
import type { AnyActorLogic, AnyStateMachine, MachineContext, StateValue } from 'xstate'
import { messageOf } from './errors.ts'
import { problemOfStateValue } from './state-value.ts'

/** An actor as XState persists it. */
export interface PersistedActor {
  readonly src: unknown
  readonly snapshot: PersistedState
}

export type PersistedActors = Readonly<Record<string, PersistedActor>>

export interface PersistedState {
  readonly status: string
  readonly value?: StateValue
  readonly context?: MachineContext
  readonly children?: PersistedActors
  readonly historyValue?: object
}

/** What is looked at of a state. */
export interface State {
  readonly id: string
  readonly path: readonly string[]
  readonly config: { readonly invoke?: unknown }
  readonly after: readonly { readonly eventType: string; readonly delay?: unknown }[]
  readonly invoke: readonly { readonly id: string; readonly src: string; readonly onSnapshot?: unknown }[]
  readonly states: Readonly<Record<string, State>>
}

/** The state that a machine is in by a value that need not be told to the leaves. @throws Error if it has no such state */
export function resolved(
  machine: AnyStateMachine,
  { value = '', context }: PersistedState,
): { readonly status: string; readonly value: StateValue; readonly _nodes: readonly State[] } {
  return machine.resolveState({ value, context } as never) as never
}

/**
 * The state with its value completed to leaves, and without actors and history of states that are not there any more.
 * @throws Error if the machine has no such state
 */
export function fitting(machine: AnyStateMachine, state: PersistedState): PersistedState {
  if (state.status !== 'active') return state
  const problem = problemOfStateValue(machine.root, state.value, 'value')
  if (problem !== null) throw new Error(problem)
  const { value, status, _nodes: states } = resolved(machine, state)
  if (status === 'done')
    throw new Error(
      `state ${JSON.stringify(value)} is final: a session cannot be migrated to its end, let an event or an always lead there`,
    )
  const invocations = invocationsOf(machine.root as State)
  const kept = Object.entries(state.children ?? {}).filter(
    ([id, { src, snapshot }]) =>
      hasPlace(invocations, states, id, src) && isOfKind(logicOf(machine, src), snapshot),
  )
  return {
    ...state,
    value,
    historyValue: historyOf(machine, state.historyValue ?? {}),
    children: mapValues(Object.fromEntries(kept), (actor, id) => {
      const logic = logicOf(machine, actor.src)
      if (!isMachine(logic)) return actor
      try {
        return { ...actor, snapshot: fitting(logic, actor.snapshot) }
      } catch (error) {
        throw new Error(`actor "${id}": ${messageOf(error)}`, { cause: error })
      }
    }),
  }
}

/**
 * Whether an actor of this id and logic goes on in these states of a machine.
 * @param invocations all that the machine invokes
 */
export function hasPlace(
  invocations: readonly Invocation[],
  states: readonly State[],
  id: string,
  src: unknown,
): boolean {
  const own = invocations.filter((each) => each.id === id)
  // Spawned, unless it has the name that XState gives to what a state invokes: then that state is gone.
  if (own.length === 0) return !/^\d+\./.test(id)
  return own.some((each) => each.src === src && states.includes(each.state))
}

/** Whether the logic can have made the snapshot: behind the same name may be something else now. */
function isOfKind(logic: AnyActorLogic | undefined, snapshot: PersistedState): boolean {
  return logic !== undefined && isMachine(logic) === (snapshot.value !== undefined)
}

interface Invocation {
  readonly id: string
  readonly src: unknown
  readonly state: State
}

/** All that its states invoke. */
export function invocationsOf(state: State): Invocation[] {
  return [
    ...state.invoke.map(({ id, src }) => ({ id, src, state })),
    ...Object.values(state.states).flatMap(invocationsOf),
  ]
}

/** By the name under which XState persists it: that of a state and a number for what is given inline. */
export function logicOf(machine: AnyStateMachine, src: unknown): AnyActorLogic | undefined {
  const [, index, stateId = ''] = /^xstate\.invoke\.(\d+)\.(.*)/.exec(String(src)) ?? []
  if (index === undefined)
    return (machine.implementations.actors as Record<string, AnyActorLogic>)[String(src)]
  const { invoke } = stateById(machine, stateId)?.config ?? {}
  const one = (Array.isArray(invoke) ? invoke[Number(index)] : invoke) as { src?: unknown } | undefined
  // It was given inline, and may have got a name since.
  return typeof one?.src === 'string' ? undefined : (one?.src as AnyActorLogic | undefined)
}

function historyOf(machine: AnyStateMachine, historyValue: object): object {
  const states = (list: readonly { readonly id: string }[]): object[] =>
    list.filter(({ id }) => stateById(machine, id) !== undefined)
  return mapValues(historyValue as Record<string, readonly { readonly id: string }[]>, states)
}

function stateById(machine: AnyStateMachine, id: string): State | undefined {
  try {
    return machine.getStateNodeById(id) as State
  } catch {
    return undefined
  }
}

export function isMachine(logic: AnyActorLogic | undefined): logic is AnyStateMachine {
  return logic !== undefined && 'implementations' in logic
}

/** The same members with other values. */
export function mapValues<T, R>(
  record: Readonly<Record<string, T>>,
  map: (value: T, key: string) => R,
): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]))
}
