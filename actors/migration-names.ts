/**
 * Names that XState makes itself: of an actor that a state invokes without an id, by its place in the state's list, and of a timer of
 * a state, both with the state's id, which begins with the machine's. Where a new version has another list or another id, what a
 * session had goes on under the name that it has now.
 */
import type { AnyStateMachine } from 'xstate'
import { isMachine, logicOf, resolved } from './migration-fit.ts'
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
}

/** Those that have not come to their end. */
export function unnamedAmong(actors: PersistedActors): Unnamed[] {
  return Object.entries(actors).flatMap(([id, { src, snapshot }]) => {
    const [, index, stateId = ''] = /^(\d+)\.(.+)$/s.exec(id) ?? []
    return index === undefined || snapshot.status !== 'active'
      ? []
      : [{ id, index: Number(index), stateId, src: String(src) }]
  })
}

/** What is given inline has a name by its place too. */
export function isSameLogic(src: string, other: string): boolean {
  const isInline = (name: string): boolean => name.startsWith('xstate.invoke.')
  return src === other || (isInline(src) && isInline(other))
}

export class NewNames {
  /** By the path of an actor as it was: its name now, and that of its logic. */
  readonly #actors = new Map<string, { readonly id: string; readonly src: string }>()
  /** By the path of an actor as it was, and the name of its timer. */
  readonly #timers = new Map<string, string>()

  /**
   * @param before the session as it was
   * @param given what `migrate` has made of it
   */
  constructor(
    machine: AnyStateMachine,
    before: PersistedState,
    given: PersistedState,
    timers: readonly Timer[],
  ) {
    this.#find(machine, before, given, [], timers)
  }

  /** An actor's path as it is now. */
  path(before: ActorPath): ActorPath {
    return before.map((id, depth) => this.#actors.get(keyOf(before.slice(0, depth + 1)))?.id ?? id)
  }

  actors(before: PersistedActors, parent: ActorPath = []): PersistedActors {
    const entries = Object.entries(before).map(([id, actor]): [string, PersistedActor, boolean] => {
      const path = [...parent, id]
      const { children } = actor.snapshot
      const snapshot =
        children === undefined ? actor.snapshot : { ...actor.snapshot, children: this.actors(children, path) }
      const now = this.#actors.get(keyOf(path))
      return now === undefined
        ? [id, { ...actor, snapshot }, false]
        : [now.id, { ...actor, src: now.src, snapshot }, true]
    })
    // Whoever has a name now takes the place of one that had it.
    entries.sort(([, , a], [, , b]) => Number(a) - Number(b))
    return Object.fromEntries(entries.map(([id, actor]) => [id, actor]))
  }

  timers(before: readonly Timer[]): Timer[] {
    return before.map((timer) => {
      const source = this.path(timer.source)
      const target = this.path(timer.target)
      const id = timer.id === null ? undefined : this.#timers.get(keyOf([...timer.source, timer.id]))
      return id === undefined
        ? { ...timer, source, target }
        : { ...timer, source, target, id, event: { ...timer.event, type: id } }
    })
  }

  runs(before: readonly Run[]): Run[] {
    return before.map((run) => ({ ...run, path: this.path(run.path) }))
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
    this.#nameActors(states, given.children ?? {}, path, isOf)
    this.#nameTimers(states, path, timers, isOf)
    for (const [id, child] of Object.entries(given.children ?? {})) {
      const own = [...path, id]
      const logic = logicOf(machine, this.#actors.get(keyOf(own))?.src ?? child.src)
      const was = before.children?.[id]?.snapshot
      if (isMachine(logic) && was !== undefined) this.#find(logic, was, child.snapshot, own, timers)
    }
  }

  #nameActors(
    states: readonly State[],
    actors: PersistedActors,
    path: ActorPath,
    isOf: (stateId: string, state: State) => boolean,
  ): void {
    const wanted = states.flatMap((state) =>
      state.invoke.flatMap(({ id, src }, index) =>
        id === `${index}.${state.id}` ? [{ id, src, index, state }] : [],
      ),
    )
    const named = new Set<string>()
    for (const { id, src } of wanted) if (actors[id] !== undefined && actors[id].src === src) named.add(id)
    for (const { id, src, index, state } of wanted.filter((each) => !named.has(each.id))) {
      const candidates = unnamedAmong(actors).filter(
        (each) => !named.has(each.id) && isSameLogic(each.src, src) && isOf(each.stateId, state),
      )
      const actor = candidates.find((each) => each.index === index) ?? candidates[0]
      if (actor === undefined) continue
      named.add(actor.id)
      this.#actors.set(keyOf([...path, actor.id]), { id, src })
    }
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

function keyOf(path: ActorPath): string {
  return path.join('\n')
}
