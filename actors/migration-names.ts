/**
 * Names that XState makes itself: of an actor that a state invokes without an id, by its place in the state's list, and of a timer of
 * a state, both with the state's id, which begins with the machine's. Where a new version has another list or another id, what a
 * session had goes on under the name that it has now.
 */
import type { AnyStateMachine } from 'xstate'
import { hasPlace, invocationsOf, isMachine, logicOf, resolved } from './migration-fit.ts'
import type { PersistedActor, PersistedActors, PersistedState, State } from './migration-fit.ts'
import type { ActorPath, Run, Timer } from './plan.ts'
import { problemOfStateValue } from './state-value.ts'

/** How XState's ids of timers of states begin; a delay and the state's id follow. */
export const AFTER = 'xstate.after.'

/** An actor that a state invoked without an id. */
export interface Unnamed {
  readonly id: string
  /** Its place among what the state invokes. */
  readonly index: number
  readonly stateId: string
  readonly src: string
  /** Until it has come to its end; XState keeps it until its state is left. */
  readonly isActive: boolean
}

/** In the order in which their states invoke them. */
export function unnamedAmong(actors: PersistedActors): Unnamed[] {
  return Object.entries(actors)
    .flatMap(([id, { src, snapshot }]) => {
      const [, index, stateId = ''] = /^(\d+)\.(.+)$/s.exec(id) ?? []
      if (index === undefined) return []
      return [{ id, index: Number(index), stateId, src: String(src), isActive: snapshot.status === 'active' }]
    })
    .sort((a, b) => a.index - b.index)
}

/** The name of an actor's logic without its place, which is in the name of what is given inline. */
export function logicName(src: string): string {
  return src.startsWith('xstate.invoke.') ? 'inline' : src
}

export class NewNames {
  /** By the path of an actor as it was: its name now, and that of its logic; `null` for one that goes on nowhere. */
  readonly #actors = new Map<string, { readonly id: string; readonly src: string } | null>()
  /** Paths that are another actor's now; above their ends they are as they were. */
  readonly #taken = new Set<string>()
  /** By the path of an actor as it was, and the name of its timer. */
  readonly #timers = new Map<string, string>()
  /** Paths of states whose actors may be started anew. */
  readonly #starts: readonly string[]

  /**
   * @param before the session as it was
   * @param given what `migrate` has made of it
   * @throws Error if it cannot be told which actor goes on under which name
   */
  constructor(
    machine: AnyStateMachine,
    before: PersistedState,
    given: PersistedState,
    timers: readonly Timer[],
    starts: readonly string[],
  ) {
    this.#starts = starts
    this.#find(machine, before, given, [], timers)
  }

  /** An actor's path as it is now; `null` if it goes on nowhere, so that what was meant for it reaches no other. */
  path(before: ActorPath): ActorPath | null {
    const now: string[] = []
    for (const [depth, id] of before.entries()) {
      const key = keyOf(before.slice(0, depth + 1))
      const name = this.#actors.get(key)
      if (name === null || (name === undefined && this.#taken.has(key))) return null
      now.push(name?.id ?? id)
    }
    return now
  }

  actors(before: PersistedActors, parent: ActorPath = []): PersistedActors {
    const entries = Object.entries(before).flatMap(([id, actor]): [string, PersistedActor][] => {
      const path = [...parent, id]
      const now = this.path(path)?.at(-1)
      if (now === undefined) return []
      const { children } = actor.snapshot
      const snapshot =
        children === undefined ? actor.snapshot : { ...actor.snapshot, children: this.actors(children, path) }
      return [[now, { ...actor, src: this.#actors.get(keyOf(path))?.src ?? actor.src, snapshot }]]
    })
    return Object.fromEntries(entries)
  }

  timers(before: readonly Timer[]): Timer[] {
    return before.flatMap((timer) => {
      const source = this.path(timer.source)
      const target = this.path(timer.target)
      if (source === null || target === null) return []
      const id = timer.id === null ? undefined : this.#timers.get(keyOf([...timer.source, timer.id]))
      return id === undefined
        ? { ...timer, source, target }
        : { ...timer, source, target, id, event: { ...timer.event, type: id } }
    })
  }

  runs(before: readonly Run[]): Run[] {
    return before.flatMap((run) => {
      const path = this.path(run.path)
      return path === null ? [] : { ...run, path }
    })
  }

  #find(
    machine: AnyStateMachine,
    before: PersistedState,
    given: PersistedState,
    path: ActorPath,
    timers: readonly Timer[],
  ): void {
    if (given.status !== 'active' || problemOfStateValue(machine.root, given.value, '') !== null) return
    const states = resolved(machine, given)._nodes
    const isOf = owning(before)
    const was = unnamedAmong(before.children ?? {})
    for (const state of states)
      this.#nameActors(
        state,
        was.filter(({ stateId }) => isOf(stateId, state)),
        (id) => before.children?.[id] !== undefined,
        given.children ?? {},
        path,
      )
    this.#nameTimers(states, path, timers, isOf)
    const invocations = invocationsOf(machine.root as State)
    for (const [id, child] of Object.entries(given.children ?? {})) {
      const own = [...path, id]
      const now = this.#actors.get(keyOf(own)) ?? { id, src: child.src }
      // One that stops takes its own with it.
      if (this.path(own) === null || !hasPlace(invocations, states, now.id, now.src)) continue
      const logic = logicOf(machine, now.src)
      const snapshot = before.children?.[id]?.snapshot
      if (isMachine(logic) && snapshot !== undefined) this.#find(logic, snapshot, child.snapshot, own, timers)
    }
  }

  /**
   * Those of the same logic go on in the order in which their state invoked them.
   * @param was what the state had invoked without an id
   * @param had whether there was an actor of this id
   * @param given the actors that `migrate` lets go on
   */
  #nameActors(
    state: State,
    was: readonly Unnamed[],
    had: (id: string) => boolean,
    given: PersistedActors,
    path: ActorPath,
  ): void {
    const isUnnamed = ({ id }: { readonly id: string }, index: number): boolean =>
      id === `${index}.${state.id}`
    const unnamed = state.invoke.filter(isUnnamed)
    // Who had no name may have got one.
    const all = state.invoke.filter((each, index) => isUnnamed(each, index) || !had(each.id))
    const isAnew = path.length === 0 && this.#starts.includes(state.path.join('.'))
    const names = (actors: readonly Unnamed[]): string => actors.map(({ id }) => `"${id}"`).join(', ')
    for (const logic of new Set(all.map(({ src }) => logicName(src)))) {
      const isOfLogic = ({ src }: { readonly src: string }): boolean => logicName(src) === logic
      const ofLogic = was.filter(isOfLogic)
      const left = ofLogic.filter(({ id }) => given[id] !== undefined)
      const pairs = [unnamed, all].flatMap((now) =>
        [ofLogic, left].map((before) => [before, now.filter(isOfLogic)] as const),
      )
      const [those, wanted = []] = pairs.find(([before, now]) => before.length === now.length) ?? []
      if (those !== undefined) {
        for (const [place, { id, src }] of those.entries()) {
          const now = wanted[place]
          if (now !== undefined && (now.id !== id || now.src !== src)) this.#rename([...path, id], now)
        }
      } else if (isAnew) {
        for (const { id } of left) this.#actors.set(keyOf([...path, id]), null)
      } else if (ofLogic.some(({ isActive }) => isActive)) {
        const what = `which of ${names(ofLogic)} is which of those that ${nameOf(state, path)} invokes now`
        throw cannotTell(what, path, 'give ids to those that are new, and none to those that go on')
      }
    }
    // What another one has the place of now.
    const displaced = was.filter(({ id }) => given[id] !== undefined && this.path([...path, id]) === null)
    const isNew = ({ src }: { readonly src: string }): boolean =>
      !was.some((each) => logicName(each.src) === logicName(src))
    if (!isAnew && displaced.some(({ isActive }) => isActive) && unnamed.some(isNew)) {
      const what = `whether ${names(displaced)} is what ${nameOf(state, path)} invokes now with other logic`
      throw cannotTell(what, path, 'return children without it to end it')
    }
  }

  #rename(path: ActorPath, now: { readonly id: string; readonly src: string }): void {
    this.#actors.set(keyOf(path), now)
    this.#taken.add(keyOf([...path.slice(0, -1), now.id]))
  }

  #nameTimers(
    states: readonly State[],
    path: ActorPath,
    timers: readonly Timer[],
    isOf: (stateId: string, state: State) => boolean,
  ): void {
    const names = states.flatMap((state) =>
      state.after.map(({ eventType }) => ({
        eventType,
        start: eventType.slice(0, eventType.length - state.id.length),
        state,
      })),
    )
    for (const { source, id } of timers) {
      if (id === null || !id.startsWith(AFTER) || keyOf(source) !== keyOf(path)) continue
      if (names.some(({ eventType }) => eventType === id)) continue
      const now = names.find(
        ({ start, state }) => id.startsWith(start) && isOf(id.slice(start.length), state),
      )
      if (now !== undefined) this.#timers.set(keyOf([...source, id]), now.eventType)
    }
  }
}

/**
 * Whether the id of a state that a machine was in means this one: an id ends with the state's path, unless it has one of its own; that of
 * the machine is all that there is before.
 */
function owning({ value }: PersistedState): (stateId: string, state: State) => boolean {
  const paths = statePaths(value).sort((a, b) => b.length - a.length)
  return (stateId, { id, path }) => {
    if (stateId === id) return true
    const owner = paths.find((each) => stateId.endsWith(`.${each}`)) ?? ''
    return owner === path.join('.') && (owner !== '' || !stateId.includes('.'))
  }
}

/** Of all states of a value, without the machine itself. */
function statePaths(value: unknown, above = ''): string[] {
  const inner = typeof value === 'string' ? { [value]: {} } : ((value ?? {}) as Record<string, unknown>)
  return Object.entries(inner).flatMap(([key, below]) => {
    const path = above === '' ? key : `${above}.${key}`
    return [path, ...statePaths(below, path)]
  })
}

function nameOf(state: State, path: ActorPath): string {
  const own = state.path.length === 0 ? 'the machine' : `state "${state.path.join('.')}"`
  return path.length === 0 ? own : `${own} of actor "${path.join('.')}"`
}

function cannotTell(what: string, path: ActorPath, advice: string): Error {
  const anew = path.length === 0 ? ', or name the state in starts to start anew what it invokes' : ''
  return new Error(`migrate: it cannot be told ${what}, without ids of their own: ${advice}${anew}`)
}

function keyOf(path: ActorPath): string {
  return path.join('\n')
}
