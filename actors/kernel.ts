/**
 * The actor kernel: `(definition, snapshot, event) → plan`. It computes and never acts.
 *
 * Invariants kept here: a plan is pure data (CM6 rests on it); whatever cannot be stored is refused before there is a
 * plan; events of the machine's own kind never come in from outside.
 */
import { createMachine, getNextTransitions } from 'xstate'
import type {
  AnyMachineSnapshot,
  AnyStateMachine,
  AnyStateNode,
  AnyTransitionDefinition,
  EventObject,
  ExecutableActionObject,
} from 'xstate'
import type { SessionDefinition } from './define-session.ts'
import { TroupeError, messageOf } from './errors.ts'
import type { Effect, Plan } from './plan.ts'
import type { Principal } from './ports.ts'
import { createCollectingScope } from './scope.ts'
import type { CollectingScope } from './scope.ts'
import { encodeView } from './view.ts'
import type { SessionRecord } from './session.ts'
import { findUnstorable } from './storable.ts'
import { validate } from './validate.ts'

/** Microsteps of one macrostep, unless the machine sets its own: an eventless loop must not hang the process. */
const MAX_MICROSTEPS = 1000
/** Configurations whose tags and accepted events are remembered. */
const MAX_CONFIGURATIONS = 10_000
const NO_INTERNALS = '{}'

/** What is being computed, for the error if it fails. */
interface Step {
  readonly before: AnyMachineSnapshot | null
  readonly event: EventObject | null
}

const CREATION: Step = { before: null, event: null }

function describe({ before, event }: Step): string {
  if (event === null) return 'creating a session'
  return `handling ${JSON.stringify(event.type)} in state ${JSON.stringify(before?.value)}`
}

export class Kernel {
  readonly definition: SessionDefinition
  readonly #machine: AnyStateMachine
  readonly #scope: CollectingScope
  readonly #configurations = new Map<string, string>()

  constructor(definition: SessionDefinition, log: (...parts: unknown[]) => void = () => undefined) {
    this.definition = definition
    const { machine } = definition
    this.#machine = createMachine(
      { ...machine.config, options: { maxIterations: MAX_MICROSTEPS, ...machine.config.options } },
      machine.implementations,
    )
    this.#scope = createCollectingScope(definition.name, log)
  }

  /**
   * The first state of a new session.
   * @throws TroupeError `event_invalid` if the input does not fit, `internal` if the machine throws
   */
  initial(input: unknown): Plan {
    const checked: unknown = this.definition.input ? validate(this.definition.input, input, 'input') : input
    this.#scope.collected = []
    const snapshot = this.#machine.getInitialSnapshot(this.#scope, checked) as AnyMachineSnapshot
    if (snapshot.status === 'error') throw this.#fault(CREATION, snapshot.error)
    return this.#plan(CREATION, snapshot)
  }

  /**
   * Checks an event of a client: reserved types, then the definition's schema.
   * @returns the event as the machine is to get it
   * @throws TroupeError `event_reserved` or `event_invalid`
   */
  admit(event: EventObject): EventObject {
    if (event.type === '*' || event.type.startsWith('xstate.') || event.type.startsWith('@xstate.')) {
      throw new TroupeError(
        'event_reserved',
        `event type ${JSON.stringify(event.type)} is reserved for the machine itself`,
      )
    }
    const { events } = this.definition
    return events ? (validate(events, event, 'event') as EventObject) : event
  }

  /**
   * One macrostep.
   * @returns `null` if the event changes nothing and asks for nothing: there is nothing to commit
   * @throws TroupeError `session_ended` if the machine is at its end, `internal` if it throws
   */
  transition(snapshot: AnyMachineSnapshot, event: EventObject): Plan | null {
    if (snapshot.status !== 'active')
      throw new TroupeError('session_ended', 'the session has ended and takes no more events')
    this.#scope.collected = []
    const step: Step = { before: snapshot, event }
    let next: AnyMachineSnapshot
    try {
      next = this.#machine.transition(snapshot, event, this.#scope) as AnyMachineSnapshot
    } catch (cause) {
      throw this.#fault(step, cause)
    }
    if (next === snapshot && this.#scope.collected.length === 0) return null
    return this.#plan(step, next)
  }

  /** The live snapshot of a record. @throws TroupeError `internal` if the machine no longer knows its state */
  restore(record: SessionRecord): AnyMachineSnapshot {
    try {
      const persisted: unknown = {
        children: {},
        historyValue: {},
        ...(JSON.parse(record.internals) as object),
        ...(JSON.parse(record.state) as object),
      }
      return this.#machine.restoreSnapshot(persisted as never, this.#scope) as AnyMachineSnapshot
    } catch (cause) {
      throw this.#fault(`restoring session ${record.id} at version ${record.version}`, cause)
    }
  }

  /** Whether principals may see different things. */
  get hasView(): boolean {
    return this.definition.view !== undefined
  }

  /** JSON text of what a principal sees of a record. @throws TroupeError `internal` if the view throws */
  encodeView(record: SessionRecord, principal: Principal | null): string {
    const { view } = this.definition
    if (view === undefined) return encodeView(record)
    try {
      return encodeView(record, { context: view(this.restore(record) as never, principal) })
    } catch (cause) {
      throw this.#fault('computing a view', cause)
    }
  }

  #plan(step: Step, snapshot: AnyMachineSnapshot): Plan {
    try {
      return this.#write(step, snapshot)
    } catch (cause) {
      // What is nested too deeply for JSON, or has a getter that throws.
      throw cause instanceof TroupeError ? cause : this.#fault(step, cause)
    }
  }

  #write(step: Step, snapshot: AnyMachineSnapshot): Plan {
    const emitted: string[] = []
    const effects: Effect[] = []
    for (const action of this.#scope.collected) this.#sort(action, emitted, effects, step)
    if (Object.keys(snapshot.children as object).length > 0) throw this.#unsupported('spawns an actor', step)
    this.#checkStorable(snapshot.context, 'the context', '', step)
    if (snapshot.output !== undefined) this.#checkStorable(snapshot.output, 'the output', 'output', step)
    const value = JSON.stringify(snapshot.value)
    const output = snapshot.output === undefined ? '' : `,"output":${JSON.stringify(snapshot.output)}`
    const status = snapshot.status === 'stopped' ? 'done' : snapshot.status
    return {
      snapshot,
      status,
      state: `{"status":"${status}","value":${value},"context":${JSON.stringify(snapshot.context)}${this.#ofConfiguration(value, snapshot)}${output}}`,
      internals: this.#internals(snapshot),
      from: step.before === null ? null : JSON.stringify(step.before.value),
      emitted,
      effects,
    }
  }

  #sort(action: ExecutableActionObject, emitted: string[], effects: Effect[], step: Step): void {
    const params = action.params as { delay?: number; event?: unknown } | undefined
    switch (action.type) {
      case 'xstate.raise':
        // An undelayed one was consumed within the macrostep.
        if (params?.delay !== undefined) throw this.#unsupported('raises a delayed event', step)
        return
      case 'xstate.emit':
        this.#checkStorable(params?.event, 'an emitted event', '', step)
        emitted.push(JSON.stringify(params?.event))
        return
      case 'xstate.sendTo':
      case 'xstate.cancel':
      case 'xstate.spawnChild':
      case 'xstate.stopChild':
        throw this.#unsupported(`uses ${action.type.slice('xstate.'.length)}`, step)
      default:
        if (action.exec !== undefined) effects.push({ kind: 'action', action })
    }
  }

  #checkStorable(value: unknown, what: string, path: string, step: Step): void {
    const unstorable = findUnstorable(value, path)
    if (unstorable === null) return
    throw this.#fault(step, new Error(`${what} cannot be stored as JSON at ${unstorable}`))
  }

  /** Tags and accepted event types as members of the state's JSON text: the same for every visit of a configuration. */
  #ofConfiguration(value: string, snapshot: AnyMachineSnapshot): string {
    const key = snapshot.status + value
    const known = this.#configurations.get(key)
    if (known !== undefined) return known
    const accepts = snapshot.status === 'active' ? acceptedEvents(snapshot) : []
    const text = `,"tags":${JSON.stringify([...(snapshot.tags as Set<string>)])},"accepts":${JSON.stringify(accepts)}`
    if (this.#configurations.size >= MAX_CONFIGURATIONS) this.#configurations.clear()
    this.#configurations.set(key, text)
    return text
  }

  #internals(snapshot: AnyMachineSnapshot): string {
    if (Object.keys(snapshot.historyValue).length === 0) return NO_INTERNALS
    const { historyValue } = this.#machine.getPersistedSnapshot(snapshot) as unknown as {
      historyValue: unknown
    }
    return JSON.stringify({ historyValue })
  }

  #fault(at: Step | string, cause: unknown): TroupeError {
    const { name, version } = this.definition
    const doing = typeof at === 'string' ? at : describe(at)
    return new TroupeError(
      'internal',
      `machine "${name}" (version ${version}) failed while ${doing}: ${messageOf(cause)}`,
      { cause },
    )
  }

  #unsupported(what: string, step: Step): TroupeError {
    return this.#fault(
      step,
      new Error(`it ${what}; timers, invocations and child actors are not available yet`),
    )
  }
}

/** Event types that the configuration has transitions for, without asking guards; wildcards as written. */
function acceptedEvents(snapshot: AnyMachineSnapshot): string[] {
  const types = new Set<string>()
  const transitions = getNextTransitions(snapshot)
  // `on: { EVENT: {} }` does nothing, and keeps the event from the states around: XState's way to forbid it.
  const forbidding = transitions.filter((one) => isInert(one) && one.guard === undefined)
  for (const transition of transitions) {
    const type = transition.eventType as string
    const { source } = transition
    if (type === '' || isInert(transition) || type.startsWith('xstate.') || type.startsWith('@xstate.'))
      continue
    if (!forbidding.some(({ eventType, source: node }) => eventType === type && isInside(node, source)))
      types.add(type)
  }
  return [...types]
}

function isInert({ target, actions, reenter }: AnyTransitionDefinition): boolean {
  return target === undefined && actions.length === 0 && !reenter
}

function isInside(node: AnyStateNode, around: AnyStateNode): boolean {
  for (let at = node.parent; at !== undefined; at = at.parent) if (at === around) return true
  return false
}
