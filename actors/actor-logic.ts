/**
 * A machine and the logic of its actors, wrapped so that a step of the whole tree acts on nothing outside of it: actors
 * start, stop and send each other events as XState does it; timers, emitted events and actions are collected; promises are
 * stood in for by their own logic that nobody starts.
 */
import type {
  AnyActorLogic,
  AnyActorRef,
  AnyActorScope,
  AnyStateMachine,
  EventObject,
  Snapshot,
} from 'xstate'
import { rebuildMachine } from './rebuild-machine.ts'
import { describeError } from './storable.ts'
import type { NodeConfig } from './rebuild-machine.ts'
import type { Request } from './stepper.ts'
import { MAX_MESSAGES } from './stepper.ts'

const INSTEAD = 'an action sent it, which runs after the commit; use sendTo or enqueueActions in the machine'

/** Whether an actor is to take an event. */
export type IsNews = (event: EventObject, self: AnyActorRef) => boolean

/** The step under way. Logic is wrapped once for a definition; steps are synchronous, so one stage serves all its sessions. */
export class Stage {
  requests: Request[] = []
  /** Promise actors that were made in this step. */
  made: AnyActorRef[] = []
  /** The logic that stands behind promise actors, made in a step or restored. */
  readonly promises = new WeakMap<AnyActorRef, AnyActorLogic>()
  isChanged = false
  /** What the machine itself threw; of its actors it is told by an event, as in XState. */
  fault: { readonly cause: unknown } | null = null
  readonly #log: (...parts: unknown[]) => void
  #taken = 0
  #isOpen = false

  readonly #isNews: IsNews

  constructor(log: (...parts: unknown[]) => void, isNews: IsNews = () => true) {
    this.#log = log
    this.#isNews = isNews
  }

  /** Whether an actor may take an event now. Outside of a step nothing would store what it does. */
  admits(event: EventObject, { id, self }: { readonly id: string; readonly self: unknown }): boolean {
    const { type } = event
    // XState's own come when a tree is restored.
    if (!this.#isOpen && !type.startsWith('xstate.'))
      this.#log(`event "${type}" to actor "${id}" was ignored: ${INSTEAD}`)
    return this.#isOpen && this.#isNews(event, self as AnyActorRef)
  }

  run(act: () => void): void {
    this.requests = []
    this.made = []
    this.isChanged = false
    this.fault = null
    this.#taken = 0
    this.#isOpen = true
    try {
      act()
    } finally {
      this.#isOpen = false
    }
    if (this.fault !== null) throw (this.fault as { cause: unknown }).cause
  }

  /** @throws Error if actors keep each other busy for ever */
  take(): void {
    if (++this.#taken <= MAX_MESSAGES) return
    const cause = new Error(`its actors send each other more than ${MAX_MESSAGES} events in one step`)
    this.fault ??= { cause }
    throw cause
  }
}

export type LogicKind = 'machine' | 'promise' | 'transition' | 'other'

const PROBE = { type: 'xstate.promise.resolve', data: 'probe' }

/** What made it (`fromPromise`, …): XState's logic does not say, but each kind takes events in its own way. */
export function kindOfLogic(logic: AnyActorLogic): LogicKind {
  if ('implementations' in logic) return 'machine'
  if (!('start' in logic)) return 'transition'
  try {
    const active = { status: 'active', output: undefined, error: undefined, input: undefined }
    const next = logic.transition(active, PROBE, {} as AnyActorScope) as Snapshot<unknown>
    return next.status === 'done' && next.output === PROBE.data ? 'promise' : 'other'
  } catch {
    return 'other'
  }
}

/** @param isRoot the session's own machine */
export function wrapMachine(machine: AnyStateMachine, stage: Stage, isRoot: boolean): AnyActorLogic {
  const inner = rebuildMachine(machine, { logicOf: (logic) => wrapLogic(logic, stage) })
  return {
    transition(snapshot, event: EventObject, scope) {
      if (!stage.admits(event, scope)) return snapshot as Snapshot<unknown>
      try {
        stage.take()
        const next = inner.transition(
          snapshot as never,
          asStored(event),
          collecting(scope as AnyActorScope, stage) as never,
        ) as Snapshot<unknown>
        if (next !== snapshot) stage.isChanged = true
        return next
      } catch (cause) {
        if (isRoot) stage.fault ??= { cause }
        throw cause
      }
    },
    getInitialSnapshot(scope, input) {
      stage.isChanged = true
      const first = inner.getInitialSnapshot(
        collecting(scope as AnyActorScope, stage) as never,
        input,
      ) as Snapshot<unknown>
      if (isRoot && first.status === 'error') stage.fault ??= { cause: first.error }
      return first
    },
    getPersistedSnapshot: (snapshot) => inner.getPersistedSnapshot(snapshot as never),
    restoreSnapshot: (snapshot, scope) => inner.restoreSnapshot(snapshot as never, scope as never),
    start: (snapshot) => inner.start(snapshot as never),
  }
}

/** That an actor failed is told by what a record can hold of the error: the same for those that threw here, and for promises. */
function asStored(event: EventObject): EventObject {
  const { error } = event as { error?: unknown }
  return error instanceof Error && event.type.startsWith('xstate.error.')
    ? ({ ...event, error: describeError(error) } as EventObject)
    : event
}

function wrapLogic(logic: AnyActorLogic, stage: Stage): AnyActorLogic {
  switch (kindOfLogic(logic)) {
    case 'machine':
      return wrapMachine(logic as AnyStateMachine, stage, false)
    case 'promise':
      return wrapPromise(logic, stage)
    default:
      return wrapTransition(logic, stage)
  }
}

function wrapTransition(logic: AnyActorLogic, stage: Stage): AnyActorLogic {
  return {
    ...logic,
    transition(snapshot, event: EventObject, scope) {
      if (!stage.admits(event, scope)) return snapshot as Snapshot<unknown>
      stage.take()
      const next = logic.transition(snapshot, event, scope) as Snapshot<unknown> & { context?: unknown }
      if (next.context !== (snapshot as { context?: unknown }).context) stage.isChanged = true
      return next
    },
  }
}

/** What the promise comes to is sent to it as an event, once somebody has run it. */
function wrapPromise(logic: AnyActorLogic, stage: Stage): AnyActorLogic {
  return {
    transition(snapshot, event: EventObject, scope) {
      if (!stage.admits(event, scope)) return snapshot as Snapshot<unknown>
      stage.take()
      const next = logic.transition(snapshot, event, scope) as Snapshot<unknown>
      if (next !== snapshot) stage.isChanged = true
      return next
    },
    getInitialSnapshot(scope, input) {
      const self = scope.self as AnyActorRef
      stage.made.push(self)
      stage.promises.set(self, logic)
      return logic.getInitialSnapshot(scope, input) as Snapshot<unknown>
    },
    getPersistedSnapshot: (snapshot) => snapshot as Snapshot<unknown>,
    restoreSnapshot(snapshot, scope) {
      stage.promises.set(scope.self as AnyActorRef, logic)
      return snapshot as never
    },
  }
}

/**
 * Actors in the tree get what is for them; the rest is collected, when XState would have done it: what an actor asks for while it
 * is made comes when it starts, and timers and emitted events come after its step.
 */
function collecting(scope: AnyActorScope, stage: Stage): AnyActorScope {
  const self = scope.self as AnyActorRef
  return {
    ...scope,
    actionExecutor(action) {
      const collect = (): void => void stage.requests.push({ self, action })
      const isDelayed = typeof (action.params as { delay?: unknown } | undefined)?.delay === 'number'
      switch (action.type) {
        case 'xstate.spawnChild':
        case 'xstate.stopChild':
          scope.actionExecutor(action)
          return
        case 'xstate.raise':
        case 'xstate.sendTo':
          if (isDelayed) scope.actionExecutor({ ...action, exec: () => scope.defer(collect) })
          // An undelayed one was consumed within the step.
          else if (action.type === 'xstate.sendTo') scope.actionExecutor(action)
          return
        case 'xstate.cancel':
        case 'xstate.emit':
          scope.actionExecutor({ ...action, exec: () => scope.defer(collect) })
          return
        default:
          scope.actionExecutor({ ...action, exec: collect })
      }
    },
  }
}

/** Whether the machine has logic for actors, in its implementations or inline. */
export function hasActors(machine: AnyStateMachine): boolean {
  return Object.keys(machine.implementations.actors).length > 0 || hasInvoke(machine.config as NodeConfig)
}

function hasInvoke({ invoke, states }: NodeConfig): boolean {
  return invoke !== undefined || Object.values(states ?? {}).some(hasInvoke)
}
