/**
 * A session of an older version of its definition goes on under a newer one: what `migrate` makes of its state is restored, and
 * the timers and invocations of states that are new to it are started. In a state that it was in before nothing starts: what is
 * missing there may have come to its end. Only what the session had, and cannot keep, is replaced. Entry actions are not run.
 */
import { enqueueActions } from 'xstate'
import type {
  AnyActorRef,
  AnyMachineSnapshot,
  AnyStateMachine,
  EventObject,
  MachineContext,
  StateValue,
} from 'xstate'
import { ActorTree } from './actor-tree.ts'
import type { SessionDefinition } from './define-session.ts'
import type { Run, Timer } from './plan.ts'
import { fitting, invocationsOf, isMachine } from './migration-fit.ts'
import type { PersistedActors, PersistedState, State } from './migration-fit.ts'
import { AFTER, logicName, NewNames, unnamedAmong } from './migration-names.ts'
import type { Unnamed } from './migration-names.ts'
import { checkResult, storedActors, withReplaced } from './migration-result.ts'
import { rebuildMachine } from './rebuild-machine.ts'
import type { NodeConfig } from './rebuild-machine.ts'
import type { PublicState } from './session.ts'
import type { Outcome } from './stepper.ts'
import { problemOfStateValue } from './state-value.ts'

/** Type of the event by which a migration is told: to the audit, to subscribers, to input and delay functions. */
export const MIGRATED = 'troupe.migrated'
/** How XState tells an actor of a new snapshot of another; the actor's id follows. */
const SNAPSHOT = 'xstate.snapshot.'

export interface MigratedEvent {
  readonly type: typeof MIGRATED
  /** Version of the definition that the session belonged to. */
  readonly from: number
}

/** The event of a session's migration from the version that it has. */
export function migratedFrom({ machineVersion }: { readonly machineVersion: number }): MigratedEvent {
  return { type: MIGRATED, from: machineVersion }
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

interface Stored {
  readonly event: MigratedEvent
  readonly state: PublicState
  readonly children: object
  readonly historyValue: object
  readonly timers: readonly Timer[]
  readonly runs: readonly Run[]
}

export class Migration {
  readonly #definition: SessionDefinition
  readonly #tree: ActorTree
  /** Names of the states that the session was in before the run under way, of its actors and of its timers. */
  readonly #had = new Set<string>()
  /** Machines that have resumed in it, and the timers of the states that they are in. */
  readonly #told = new Set<AnyActorRef>()
  readonly #fitting = new Set<string>()
  /** Names of the actors that go on, and of the states that they are in. */
  readonly #goingOn = new Set<string>()
  /** Those of them that a state invoked without an id, by the path of their parent. */
  readonly #unnamed = new Map<string, readonly Unnamed[]>()
  /** An actor of which it cannot be told whether it is to be started anew. */
  #lost: string | null = null

  /** @param definition one with `migrate` */
  constructor(definition: SessionDefinition, log: (...parts: unknown[]) => void) {
    this.#definition = definition
    // That an actor goes on is no news to those that watch it.
    const isNews = ({ type }: EventObject, self: AnyActorRef): boolean =>
      !type.startsWith(SNAPSHOT) ||
      !this.#goingOn.has(actorName([...pathOf(self), type.slice(SNAPSHOT.length)]))
    this.#tree = new ActorTree(this.#resumable(definition.machine), log, isNews)
  }

  /**
   * @returns what it became, with those of its timers that remain and its promises, by the names that they have now
   * @throws whatever `migrate` throws; Error if what it returns does not fit the machine
   */
  run({ event, state, children, historyValue, timers, runs }: Stored): {
    outcome: Outcome
    timers: readonly Timer[]
    runs: readonly Run[]
  } {
    const { machine, migrate } = this.#definition
    if (migrate === undefined) throw new TypeError('the definition has no migrate')
    const { status, output } = state
    const value = state.value as StateValue
    const context = state.context as MachineContext
    const actors = children as PersistedActors
    const stored = { status, output, value, context, historyValue, children: actors }
    const migrated = checkResult(
      migrate({ version: event.from, value, context, children: storedActors(actors) }),
    )
    const given = {
      ...stored,
      value: migrated.value,
      context: migrated.context as MachineContext,
      children: migrated.children === undefined ? actors : withReplaced(actors, migrated.children),
    }
    const problem = problemOfStateValue(machine.root, given.value, 'value')
    if (problem !== null) throw new Error(problem)
    const { starts = [] } = migrated
    for (const path of starts)
      if (!hasState(machine.root as State, path))
        throw new Error(`migrate: starts names ${JSON.stringify(path)}, and the machine has no such state`)
    const names = new NewNames(machine, stored, given, timers, starts)
    const now = { ...given, children: names.actors(given.children) }
    const nowTimers = names.timers(timers)
    this.#note({ ...stored, children: names.actors(actors) }, now.children, nowTimers)
    for (const path of starts) this.#had.delete(stateName([], path))
    const fit = fitting(machine, now)
    const restored = this.#tree.restore(fit)
    noteStates(fit, [], this.#goingOn)
    const live = { ...restored, timers: nowTimers, runs: [], nextKey: 1, taken: {} }
    // A session that has ended is only looked at.
    if (status !== 'active') return { outcome: asItIs(live.snapshot), timers: [], runs: [] }
    const outcome = this.#tree.step(live, [], event)
    if (this.#lost !== null) throw new Error(this.#lost)
    const isFitting = ({ source, id }: Timer): boolean =>
      id === null || !id.startsWith(AFTER) || this.#fitting.has(timerName(source, id))
    return { outcome, timers: nowTimers.filter(isFitting), runs: names.runs(runs) }
  }

  /** What the session had, by the names that it has now. */
  #note(before: PersistedState, actors: PersistedActors, timers: readonly Timer[]): void {
    for (const names of [this.#had, this.#told, this.#fitting, this.#goingOn, this.#unnamed]) names.clear()
    this.#lost = null
    noteStates(before, [], this.#had)
    for (const { source, id } of timers) if (id !== null) this.#had.add(timerName(source, id))
    const visit = (children: PersistedActors, path: readonly string[]): void => {
      this.#unnamed.set(
        path.join('\n'),
        unnamedAmong(children).filter(({ isActive }) => isActive),
      )
      for (const [id, { snapshot }] of Object.entries(children)) visit(snapshot.children ?? {}, [...path, id])
    }
    visit(actors, [])
  }

  /** Whether the session had a timer of the state that fits none of its states now: the delay is another one, or the machine's id. */
  #hasUnfitTimer(state: State, actor: readonly string[]): boolean {
    const start = timerName(actor, AFTER)
    for (const name of this.#had) {
      const isOfThis = name.endsWith(`.${state.id}`) || isOfState(name, state)
      if (name.startsWith(start) && isOfThis && !this.#fitting.has(name)) return true
    }
    return false
  }

  /**
   * Whether the session had the actor that the state invokes, and it is not over. Notes one without a name of its own of which that
   * cannot be told.
   */
  #hadInvocation(parent: AnyActorRef, state: State, index: number): boolean {
    const path = pathOf(parent)
    const { id, src } = state.invoke[index] ?? { id: '', src: '' }
    if (this.#had.has(actorName([...path, id]))) return true
    if (id !== `${index}.${state.id}`) return false
    const { machine } = parent.getSnapshot() as { machine: AnyStateMachine }
    const ids = invocationsOf(machine.root as State).map((each) => each.id)
    const unnamed = this.#unnamed.get(path.join('\n')) ?? []
    const lost = unnamed.find((each) => logicName(each.src) === logicName(src) && !ids.includes(each.id))
    if (lost !== undefined)
      this.#lost ??=
        `migrate: it cannot be told whether actor "${lost.id}" is what state "${state.path.join('.')}" invokes, ` +
        'since neither has an id of its own: name the state in starts to start it anew, or return children without the actor to end it'
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
        for (const [index, invocation] of state.invoke.entries()) {
          const { id, src, onSnapshot } = invocation
          if (id in children || !(isNew || this.#hadInvocation(actor, state, index))) continue
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

/** Whether an id that ends by that of a state means this one, in this machine or in one of another id. */
function isOfState(id: string, state: State): boolean {
  const { path } = state
  return id === state.id || (path.length > 0 && id.endsWith(`.${path.join('.')}`))
}

function hasState(root: State, path: string): boolean {
  if (path === '') return true
  let state: State | undefined = root
  for (const key of path.split('.'))
    state = state !== undefined && Object.hasOwn(state.states, key) ? state.states[key] : undefined
  return state !== undefined
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
    // XState keeps one that has come to its end until its state is left.
    if (snapshot.status === 'active') names.add(actorName(own))
    noteStates(snapshot, own, names)
  }
}

function pathOf(actor: AnyActorRef): string[] {
  const parent = actor._parent
  return parent === undefined ? [] : [...pathOf(parent), actor.id]
}
