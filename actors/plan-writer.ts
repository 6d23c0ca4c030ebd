/** A step, written as the plan of a commit: whatever cannot be stored, or does not fit the definition, is refused here. */
import type { AnyMachineSnapshot, EventObject } from 'xstate'
import { acceptedEvents } from './configuration.ts'
import type { SessionDefinition } from './define-session.ts'
import { TroupeError, messageOf } from './errors.ts'
import { mailOf, MAX_MAIL } from './mail.ts'
import type { OutgoingMail } from './mail.ts'
import { MIGRATED } from './migration.ts'
import type { MigratedEvent } from './migration.ts'
import { nextPending, nothingPending, NOTHING_PENDING } from './pending.ts'
import type { Pending } from './pending.ts'
import type { Effect, Plan } from './plan.ts'
import { checkReferences } from './references.ts'
import type { Outcome, Persisted, Stepper } from './stepper.ts'
import { findUnstorable, hasUnstorableCharacter } from './storable.ts'
import { validate } from './validate.ts'

/** Configurations whose tags and accepted events are remembered. */
const MAX_CONFIGURATIONS = 10_000
const NO_INTERNALS = '{}'
/** What is in XState's reference to an actor, `xstate$$type`, from its rarest character on: each state is searched for it. */
const REFERENCE = '$$type'

const NO_MAIL: readonly OutgoingMail[] = []

/** What is being computed, for the error if it fails. */
export interface Step {
  readonly before: { readonly value: unknown } | null
  readonly event: EventObject | null
  /** Length of the chain of events between sessions that led here. */
  readonly hops: number
}

export class PlanWriter {
  readonly #definition: SessionDefinition
  readonly #stepper: Stepper
  readonly #configurations = new Map<string, string>()

  constructor(definition: SessionDefinition, stepper: Stepper) {
    this.#definition = definition
    this.#stepper = stepper
  }

  /**
   * What is to be committed of a step.
   * @throws TroupeError `internal` if something of it cannot be stored, or does not fit its schema
   */
  write(step: Step, before: Pending, outcome: Outcome): Plan {
    const { snapshot, root, requests } = outcome
    const emitted: string[] = []
    const effects: Effect[] = []
    let mail: OutgoingMail[] | null = null
    for (const { action } of requests) {
      if (action.type === 'xstate.emit') {
        const { event } = action.params as { event: unknown }
        this.#checkStorable(event, 'an emitted event', '', step)
        this.#checkFits('emitted', event, 'emitted event', step)
        emitted.push(JSON.stringify(event))
      } else if (!action.type.startsWith('xstate.') || action.type === 'xstate.log') {
        if (action.exec === undefined) continue
        const asked = mailOf(action, step.hops + 1)
        if (asked === null) effects.push({ kind: 'action', action })
        else {
          mail ??= []
          if (mail.push({ ...asked, event: this.#mailText(asked.event, step) }) > MAX_MAIL)
            throw new Error(`it sends more than ${MAX_MAIL} events to other sessions in one step`)
        }
      }
    }
    const status = snapshot.status === 'stopped' ? 'done' : snapshot.status
    const pending = status === 'active' ? nextPending(before, outcome) : nothingPending(before)
    const persisted = this.#persist(snapshot, step)
    this.#checkStorable(persisted.context, 'the context', '', step)
    // What was not computed is not to fail for a schema that has changed since.
    if (step.event !== null || step.before === null)
      this.#checkFits('context', persisted.context, 'context', step)
    if (snapshot.output !== undefined) this.#checkStorable(snapshot.output, 'the output', 'output', step)
    if (status === 'done') this.#checkFits('output', snapshot.output, 'output', step)
    const value = JSON.stringify(snapshot.value)
    const output = snapshot.output === undefined ? '' : `,"output":${JSON.stringify(snapshot.output)}`
    const state = `{"status":"${status}","value":${value},"context":${JSON.stringify(persisted.context)}${this.#ofConfiguration(value, snapshot)}${output}}`
    if (hasUnstorableCharacter(state)) {
      throw this.fault(step, new Error('the context or output holds a NUL or half of a surrogate pair'))
    }
    const internals = this.#internals(persisted, pending, step)
    if (state.includes(REFERENCE) || internals.includes(REFERENCE)) checkReferences(snapshot, [])
    return {
      live: {
        snapshot,
        root,
        timers: pending.timers,
        runs: pending.runs,
        nextKey: pending.nextKey,
        taken: pending.taken,
      },
      status,
      state,
      internals,
      from: step.before === null ? null : JSON.stringify(step.before.value),
      emitted,
      mail: mail ?? NO_MAIL,
      effects,
    }
  }

  #persist(snapshot: AnyMachineSnapshot, step: Step): Persisted {
    try {
      return this.#stepper.persist(snapshot)
    } catch (error) {
      // XState follows what refers to itself until it is out of stack.
      if (error instanceof RangeError) this.#checkStorable(snapshot.context, 'the context', '', step)
      throw error
    }
  }

  /** The machine's own work: where it does not fit its schema, the fault is not the sender's. */
  #checkFits(
    option: 'context' | 'output' | 'emitted',
    value: unknown,
    what: Parameters<typeof validate>[2],
    step: Step,
  ): void {
    const schema = this.#definition[option]
    if (schema === undefined) return
    try {
      validate(schema, value, what)
    } catch (cause) {
      throw this.fault(step, cause)
    }
  }

  #checkStorable(value: unknown, what: string, path: string, step: Step): void {
    const unstorable = findUnstorable(value, path)
    if (unstorable === null) return
    throw this.fault(step, new Error(`${what} cannot be stored as JSON at ${unstorable}`))
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

  #mailText(event: EventObject, step: Step): string {
    this.#checkStorable(event, 'an event for another session', event.type, step)
    const text = JSON.stringify(event)
    if (hasUnstorableCharacter(text))
      throw this.fault(
        step,
        new Error('an event for another session holds a NUL or half of a surrogate pair'),
      )
    return text
  }

  #internals(
    { historyValue, children }: Persisted,
    { timers, runs, nextKey, taken }: Pending,
    step: Step,
  ): string {
    const hasPending = nextKey !== NOTHING_PENDING.nextKey
    if (!hasPending && isEmpty(historyValue) && isEmpty(children) && isEmpty(taken)) return NO_INTERNALS
    this.#checkStorable(children, 'an actor', 'children', step)
    for (const { event } of timers) this.#checkStorable(event, 'a delayed event', event.type, step)
    const text = JSON.stringify({
      ...(isEmpty(historyValue) ? {} : { historyValue }),
      ...(isEmpty(children) ? {} : { children }),
      ...(hasPending ? { timers, runs, nextKey } : {}),
      ...(isEmpty(taken) ? {} : { taken }),
    })
    if (hasUnstorableCharacter(text))
      throw this.fault(step, new Error('an actor or a delayed event holds a NUL or half of a surrogate pair'))
    return text
  }

  /** What went wrong, with the machine and what was being computed. */
  fault(at: Step | string, cause: unknown): TroupeError {
    const { name, version } = this.#definition
    const doing = typeof at === 'string' ? at : describe(at)
    return new TroupeError(
      'internal',
      `machine "${name}" (version ${version}) failed while ${doing}: ${messageOf(cause)}`,
      { cause },
    )
  }
}

function describe({ before, event }: Step): string {
  if (event === null) return before === null ? 'creating a session' : 'storing a session anew'
  if (event.type === MIGRATED)
    return `migrating a session of version ${(event as MigratedEvent).from} in state ${JSON.stringify(before?.value)}`
  return `handling ${JSON.stringify(event.type)} in state ${JSON.stringify(before?.value)}`
}

function isEmpty(object: object): boolean {
  for (const _ in object) return false
  return true
}
