/**
 * A session of an older version of its definition goes on under a newer one: what `migrate` makes of its state is restored, and
 * the timers and invocations of states that are new to it are started. In a state that it was in before nothing starts: what is
 * missing there may have come to its end. Only what the session had, and cannot keep, is replaced. Entry actions are not run.
 */
import { enqueueActions } from 'xstate'
import type {
  AnyActorLogic,
  AnyActorRef,
  AnyMachineSnapshot,
  AnyStateMachine,
  MachineContext,
  StateValue,
} from 'xstate'
import { ActorTree } from './actor-tree.ts'
import type { MigratedSession, SessionDefinition, StoredActor } from './define-session.ts'
import { messageOf } from './errors.ts'
import type { Timer } from './plan.ts'
import { rebuildMachine } from './rebuild-machine.ts'
import type { NodeConfig } from './rebuild-machine.ts'
import type { PublicState } from './session.ts'
import type { Outcome } from './stepper.ts'
import { findUnstorable } from './storable.ts'

/** Type of the event by which a migration is told: to the audit, to subscribers, to input and delay functions. */
export const MIGRATED = 'troupe.migrated'
/** How XState's ids of timers of states begin; their end is the id of the state. */
const AFTER = 'xstate.after.'

export interface MigratedEvent {
  readonly type: typeof MIGRATED
  /** Version of the definition that the session belonged to. */
  readonly from: number
}

export function migratedFrom({ machineVersion }: { readonly machineVersion: number }): MigratedEvent {
  return { type: MIGRATED, from: machineVersion }
}

/** An actor as XState persists it. */
interface PersistedActor {
  readonly src: unknown
  readonly snapshot: PersistedState
}

type PersistedActors = Readonly<Record<string, PersistedActor>>

interface PersistedState {
  readonly status: string
  readonly value?: StateValue
  readonly context?: MachineContext
  readonly children?: PersistedActors
  readonly historyValue?: object
}

/** What is looked at of a machine's snapshot, and of the states that it is in. */
interface Seen {
  readonly status: string
  readonly value: StateValue
  /** Machines only. */
  readonly machine?: unknown
  readonly _nodes: readonly State[]
  readonly children: Readonly<Record<string, AnyActorRef | undefined>>
}

interface State {
  readonly id: string
  readonly path: readonly string[]
  readonly config: { readonly invoke?: unknown }
  readonly after: readonly { readonly eventType: string; readonly delay?: unknown }[]
  readonly invoke: readonly { readonly id: string; readonly src: string; readonly onSnapshot?: unknown }[]
  readonly states: Readonly<Record<string, State>>
}

interface Stored {
  readonly event: MigratedEvent
  readonly state: PublicState
  readonly children: object
  readonly historyValue: object
  readonly timers: readonly Timer[]
}

export class Migration {
  readonly #definition: SessionDefinition
  readonly #tree: ActorTree
  /** Names of the states that the session was in before the run under way, of its actors and of its timers. */
  readonly #had = new Set<string>()
  /** Machines that have resumed in it, and the timers of the states that they are in. */
  readonly #told = new Set<AnyActorRef>()
  readonly #fitting = new Set<string>()

  /** @param definition one with `migrate` */
  constructor(definition: SessionDefinition, log: (...parts: unknown[]) => void) {
    this.#definition = definition
    this.#tree = new ActorTree(this.#resumable(definition.machine), log)
  }

  /**
   * @returns what it became, and which of its timers remain
   * @throws whatever `migrate` throws; Error if what it returns does not fit the machine
   */
  run({ event, state, children, historyValue, timers }: Stored): {
    outcome: Outcome
    timers: readonly Timer[]
  } {
    const { machine, migrate } = this.#definition
    if (migrate === undefined) throw new TypeError('the definition has no migrate')
    const { status, output } = state
    const value = state.value as StateValue
    const context = state.context as MachineContext
    const actors = children as PersistedActors
    const stored = { status, output, value, context, historyValue, children: actors }
    this.#had.clear()
    noteStates(stored, [], this.#had)
    for (const { source, id } of timers) if (id !== null) this.#had.add(timerName(source, id))
    const migrated = checkResult(
      migrate({ version: event.from, value, context, children: storedActors(actors) }),
    )
    for (const path of migrated.starts ?? []) this.#had.delete(stateName([], path))
    const given = {
      ...stored,
      value: migrated.value,
      context: migrated.context as MachineContext,
      children: migrated.children === undefined ? actors : withReplaced(actors, migrated.children),
    }
    const restored = this.#tree.restore(fitting(machine, given))
    const live = { ...restored, timers, runs: [], nextKey: 1, taken: {} }
    this.#told.clear()
    this.#fitting.clear()
    // A session that has ended is only looked at.
    if (status !== 'active') return { outcome: asItIs(live.snapshot), timers: [] }
    const outcome = this.#tree.step(live, [], event)
    const isFitting = ({ source, id }: Timer): boolean =>
      id === null || !id.startsWith(AFTER) || this.#fitting.has(timerName(source, id))
    return { outcome, timers: timers.filter(isFitting) }
  }

  /** Whether the session had a timer of the state that fits none of its states now: the delay is another one, or the machine's id. */
  #hasUnfitTimer({ id, path }: State, actor: readonly string[]): boolean {
    const start = timerName(actor, AFTER)
    const isOfState = (name: string): boolean =>
      name.endsWith(`.${id}`) || (path.length > 0 && name.endsWith(`.${path.join('.')}`))
    for (const name of this.#had)
      if (name.startsWith(start) && isOfState(name) && !this.#fitting.has(name)) return true
    return false
  }

  /** The machine with a transition in each state by which it resumes. */
  #resumable(machine: AnyStateMachine): AnyStateMachine {
    const resume = enqueueActions(({ self, event, enqueue }) => {
      const actor = self as unknown as AnyActorRef
      // In a parallel state several transitions are taken.
      if (this.#told.has(actor)) return
      this.#told.add(actor)
      const { _nodes: states, children } = actor.getSnapshot() as Seen
      const path = pathOf(actor)
      for (const { after } of states)
        for (const { eventType } of after) this.#fitting.add(timerName(path, eventType))
      for (const state of states) {
        const isNew = !this.#had.has(stateName(path, state.path.join('.')))
        if (isNew || this.#hasUnfitTimer(state, path)) {
          for (const [type, delay] of new Map(state.after.map((each) => [each.eventType, each.delay])))
            if (!this.#had.has(timerName(path, type)))
              enqueue.raise({ type }, { id: type, delay: delay as never })
        }
        for (const invocation of state.invoke) {
          const { id, src, onSnapshot } = invocation
          if (id in children || !(isNew || this.#had.has(actorName([...path, id])))) continue
          enqueue.spawnChild(src as never, { ...invocation, syncSnapshot: onSnapshot !== undefined } as never)
        }
      }
      for (const child of Object.values(children)) {
        const snapshot = child?.getSnapshot() as Seen | undefined
        if (child !== undefined && snapshot?.status === 'active' && snapshot.machine !== undefined)
          enqueue.sendTo(child, event)
      }
    })
    return rebuildMachine(machine, {
      logicOf: (logic) => (isMachine(logic) ? this.#resumable(logic) : logic),
      stateOf: (state): NodeConfig =>
        state.type === 'history' || state.type === 'final'
          ? state
          : { ...state, on: { ...state.on, [MIGRATED]: { actions: resume } } },
    })
  }
}

function isMachine(logic: AnyActorLogic | undefined): logic is AnyStateMachine {
  return logic !== undefined && 'implementations' in logic
}

function asItIs(snapshot: AnyMachineSnapshot): Outcome {
  return {
    snapshot,
    root: null,
    requests: [],
    made: [],
    isChanged: true,
    pathOf: () => null,
    isKept: () => true,
  }
}

function timerName(actor: readonly string[], id: string): string {
  return `timer\n${[...actor, id].join('\n')}`
}

function stateName(actor: readonly string[], path: string): string {
  return `state\n${[...actor, path].join('\n')}`
}

function actorName(path: readonly string[]): string {
  return `actor\n${path.join('\n')}`
}

/** Notes names of the actors, and of the states that they are in. */
function noteStates({ value, children }: PersistedState, path: readonly string[], names: Set<string>): void {
  const note = (of: StateValue, at: readonly string[]): void => {
    names.add(stateName(path, at.join('.')))
    const inner = typeof of === 'string' ? { [of]: {} } : of
    for (const [key, below] of Object.entries(inner)) if (below !== undefined) note(below, [...at, key])
  }
  if (value !== undefined) note(value, [])
  for (const [id, { snapshot }] of Object.entries(children ?? {})) {
    const own = [...path, id]
    names.add(actorName(own))
    noteStates(snapshot, own, names)
  }
}

function pathOf(actor: AnyActorRef): string[] {
  const parent = actor._parent
  return parent === undefined ? [] : [...pathOf(parent), actor.id]
}

// ── What `migrate` gets, and what it returns ─────────────────────────────────────────────────────────────────────────

function storedActors(children: PersistedActors): Record<string, StoredActor> {
  return mapValues(children, ({ src, snapshot: { value, context, children: own } }): StoredActor => ({
    src: String(src),
    ...(value === undefined ? {} : { value }),
    ...(context === undefined ? {} : { context }),
    children: storedActors(own ?? {}),
  }))
}

/** @throws Error if it is not what `migrate` may return */
function checkResult(result: unknown): MigratedSession {
  const isObject = (one: unknown): boolean => typeof one === 'object' && one !== null && !Array.isArray(one)
  const {
    value,
    context,
    children = {},
    starts = [],
    ...others
  } = (isObject(result) ? result : {}) as Partial<Record<keyof MigratedSession, unknown>>
  const [other] = Object.keys(others)
  const problems = [
    [isObject(result) && !(result instanceof Promise), 'it must return { value, context }, and at once'],
    [typeof value === 'string' || isObject(value), 'value must be a state: a string or an object'],
    [isObject(context), 'context must be an object'],
    [isObject(children), 'children must be an object'],
    [Array.isArray(starts), 'starts must be a list of paths of states'],
    [other === undefined, `${other} is not known; there are: value, context, children, starts`],
  ] as const
  const problem = problems.find(([isGood]) => !isGood)
  if (problem !== undefined) throw new Error(`migrate: ${problem[1]}`)
  const unstorable = findUnstorable(context)
  if (unstorable !== null) throw new Error(`the context cannot be stored as JSON at ${unstorable}`)
  // A copy: it may be frozen, or shared with others.
  return structuredClone(result) as MigratedSession
}

/** Those that `migrate` returned, with the state that it gives them; the others stop. */
function withReplaced(
  stored: PersistedActors,
  returned: NonNullable<MigratedSession['children']>,
): PersistedActors {
  return mapValues(returned, ({ value, context, children }, id) => {
    const actor = stored[id]
    if (actor === undefined)
      throw new Error(
        `migrate returned a child "${id}" that the session does not have: what a state invokes is started by itself`,
      )
    const { snapshot } = actor
    return {
      ...actor,
      snapshot: {
        ...snapshot,
        ...(value === undefined ? {} : { value }),
        ...(context === undefined ? {} : { context }),
        ...(children === undefined ? {} : { children: withReplaced(snapshot.children ?? {}, children) }),
      },
    }
  })
}

// ── What of it fits the machine ──────────────────────────────────────────────────────────────────────────────────────

/**
 * The state with its value completed to leaves, and without actors and history of states that are not there any more.
 * @throws Error if the machine has no such state
 */
function fitting(machine: AnyStateMachine, state: PersistedState): PersistedState {
  if (state.status !== 'active') return state
  const {
    value,
    status,
    _nodes: states,
  } = machine.resolveState({
    value: state.value ?? '',
    context: state.context,
  } as never) as Seen
  if (status === 'done')
    throw new Error(
      `state ${JSON.stringify(value)} is final: a session cannot be migrated to its end, let an event or an always lead there`,
    )
  const invocations = invocationsOf(machine.root as State)
  const kept = Object.entries(state.children ?? {}).filter(([id, { src }]) => {
    const logic = logicOf(machine, src)
    if (logic === undefined) return false
    const own = invocations.filter((each) => each.id === id)
    // Spawned, unless it has the name that XState gives to what a state invokes: then that state is gone.
    if (own.length === 0) return !/^\d+\./.test(id)
    return own.some((each) => each.src === src && states.includes(each.state))
  })
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

interface Invocation {
  readonly id: string
  readonly src: unknown
  readonly state: State
}

function invocationsOf(state: State): Invocation[] {
  return [
    ...state.invoke.map(({ id, src }) => ({ id, src, state })),
    ...Object.values(state.states).flatMap(invocationsOf),
  ]
}

/** By the name under which XState persists it: that of a state and a number for what is given inline. */
function logicOf(machine: AnyStateMachine, src: unknown): AnyActorLogic | undefined {
  const [, index, stateId = ''] = /^xstate\.invoke\.(\d+)\.(.*)/.exec(String(src)) ?? []
  if (index === undefined)
    return (machine.implementations.actors as Record<string, AnyActorLogic>)[String(src)]
  const { invoke } = stateById(machine, stateId)?.config ?? {}
  const one = (Array.isArray(invoke) ? invoke[Number(index)] : invoke) as { src?: AnyActorLogic } | undefined
  return one?.src
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

function mapValues<T, R>(
  record: Readonly<Record<string, T>>,
  map: (value: T, key: string) => R,
): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]))
}
