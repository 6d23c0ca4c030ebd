/**
 * The actor kernel: `(definition, snapshot, event) → plan`. It computes and never acts.
 *
 * Invariants kept here: a plan is pure data (CM6 rests on it); whatever cannot be stored is refused before there is a
 * plan; events of the machine's own kind never come in from outside.
 */
import type { AnyMachineSnapshot, EventObject } from 'xstate'
import { hasActors } from './actor-logic.ts'
import { ActorTree } from './actor-tree.ts'
import { acceptedEvents } from './configuration.ts'
import type { SessionDefinition } from './define-session.ts'
import { TroupeError, messageOf } from './errors.ts'
import { isTaken, mailOf, MAX_MAIL, withTaken } from './mail.ts'
import type { IncomingMail, OutgoingMail, Taken } from './mail.ts'
import { Migration, MIGRATED, migratedFrom } from './migration.ts'
import type { MigratedEvent } from './migration.ts'
import { nextPending, nothingPending, NOTHING_PENDING } from './pending.ts'
import type { Pending } from './pending.ts'
import { PlainMachine } from './plain-machine.ts'
import type { Effect, Live, Plan, Run, Timer } from './plan.ts'
import type { Principal } from './ports.ts'
import { isReservedEvent } from './reserved.ts'
import { encodeView } from './view.ts'
import type { PublicState, SessionRecord } from './session.ts'
import type { Outcome, Persisted, PromiseActor, Stepper } from './stepper.ts'
import { findUnstorable, hasUnstorableCharacter } from './storable.ts'
import { outOfReach } from './timers.ts'
import { validate } from './validate.ts'

/** Configurations whose tags and accepted events are remembered. */
const MAX_CONFIGURATIONS = 10_000
const NO_INTERNALS = '{}'
/** How XState writes a reference to an actor. */
const REFERENCE = '"xstate$$type"'

/** What is being computed, for the error if it fails. */
interface Step {
  readonly before: { readonly value: unknown } | null
  readonly event: EventObject | null
  /** Length of the chain of events between sessions that led here. */
  readonly hops: number
}

const NO_MAIL: readonly OutgoingMail[] = []

/** JSON of a record's third line. */
interface Internals extends Partial<Pending> {
  readonly historyValue?: object
  readonly children?: object
}

const CREATION: Step = { before: null, event: null, hops: 0 }

function describe({ before, event }: Step): string {
  if (event === null) return 'creating a session'
  if (event.type === MIGRATED)
    return `migrating a session of version ${(event as MigratedEvent).from} in state ${JSON.stringify(before?.value)}`
  return `handling ${JSON.stringify(event.type)} in state ${JSON.stringify(before?.value)}`
}

/** What a promise came to; an error as its name and message. */
export type Result =
  { readonly output: unknown } | { readonly error: { readonly name: string; readonly message: string } }

export class Kernel {
  readonly definition: SessionDefinition
  readonly #stepper: Stepper
  readonly #log: (...parts: unknown[]) => void
  #migration: Migration | null = null
  readonly #configurations = new Map<string, string>()

  constructor(definition: SessionDefinition, log: (...parts: unknown[]) => void = () => undefined) {
    this.definition = definition
    this.#log = log
    const { machine, name } = definition
    this.#stepper = hasActors(machine) ? new ActorTree(machine, log) : new PlainMachine(machine, name, log)
  }

  /**
   * The first state of a new session.
   * @throws TroupeError `event_invalid` if the input does not fit, `internal` if the machine throws
   */
  initial(input: unknown): Plan {
    const checked: unknown = this.definition.input ? validate(this.definition.input, input, 'input') : input
    try {
      return this.#write(CREATION, NOTHING_PENDING, this.#stepper.initial(checked))
    } catch (cause) {
      throw cause instanceof TroupeError ? cause : this.#fault(CREATION, cause)
    }
  }

  /**
   * Checks an event of a client: reserved types, then the definition's schema.
   * @returns the event as the machine is to get it
   * @throws TroupeError `event_reserved` or `event_invalid`
   */
  admit(event: EventObject): EventObject {
    if (isReservedEvent(event.type)) {
      throw new TroupeError(
        'event_reserved',
        `event type ${JSON.stringify(event.type)} is reserved for the machine itself and the runtime`,
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
  transition(live: Live, event: EventObject): Plan | null {
    const { snapshot } = live
    if (snapshot.status !== 'active')
      throw new TroupeError('session_ended', 'the session has ended and takes no more events')
    return this.#step(live, live, [], event, false)
  }

  /**
   * The event of a timer, for the actor that it is meant for.
   * @returns `null` if no such timer is armed any more
   * @throws TroupeError `internal` if the machine throws
   */
  fire(live: Live, key: number): { plan: Plan; timer: Timer } | null {
    const timer = live.timers.find((each) => each.key === key)
    if (timer === undefined || live.snapshot.status !== 'active') return null
    const others = live.timers.filter((each) => each !== timer)
    const before = { ...live, timers: outOfReach(others, timer.source, timer.id) }
    // The timer is no longer there: something is to be stored, whatever the machine makes of the event.
    const plan = this.#step(live, before, timer.target, timer.event, true)
    return plan && { plan, timer }
  }

  /** The same state without a timer or promise whose event the machine fails at. */
  drop(live: Live, key: number): Plan {
    const without = <T extends { readonly key: number }>(all: readonly T[]): T[] =>
      all.filter((each) => each.key !== key)
    return this.#rewrite(live, { timers: without(live.timers), runs: without(live.runs) })
  }

  /**
   * What a promise came to, for its actor.
   * @returns `null` if this execution is not the one that counts any more
   * @throws TroupeError `internal` if the machine throws
   */
  settle(live: Live, key: number, result: Result): { plan: Plan; run: Run } | null {
    const run = live.runs.find((each) => each.key === key)
    if (run === undefined || live.snapshot.status !== 'active') return null
    const event =
      'error' in result
        ? { type: 'xstate.promise.reject', data: result.error }
        : { type: 'xstate.promise.resolve', data: result.output }
    const plan = this.#step(
      live,
      { ...live, runs: live.runs.filter((each) => each !== run) },
      run.path,
      event,
      true,
    )
    return plan && { plan, run }
  }

  /**
   * An event from another session.
   * @param settled what it has had and can never come again, see `withTaken`
   * @returns `taken`: it has had it before; `ended`: it takes no more; `null`: the event changes nothing
   * @throws TroupeError `internal` if the machine throws
   */
  take(live: Live, mail: IncomingMail, settled: Taken): Plan | 'taken' | 'ended' | null {
    if (isTaken(live.taken, mail)) return 'taken'
    if (live.snapshot.status !== 'active') return 'ended'
    const taken = withTaken(live.taken, mail, settled)
    return this.#step(live, { ...live, taken }, [], mail.event, false, mail.hops)
  }

  /** The same state with these timers armed anew, by their keys, with these delays in ms. */
  rearm(live: Live, delays: ReadonlyMap<number, number>): Plan {
    let { nextKey } = live
    const timers = live.timers.map((timer) => {
      const delayMs = delays.get(timer.key)
      return delayMs === undefined ? timer : { ...timer, key: nextKey++, delayMs }
    })
    return this.#rewrite(live, { timers, nextKey })
  }

  /** The same state with other executions of these promises: results of those before are refused. */
  retake(live: Live, keys: readonly number[]): Plan {
    let { nextKey } = live
    const runs = live.runs.map((run) =>
      keys.includes(run.key) ? { ...run, key: nextKey++, attempt: run.attempt + 1 } : run,
    )
    return this.#rewrite(live, { runs, nextKey })
  }

  /** The promises to run, with what they are made of. */
  promisesOf(live: Live): (Run & PromiseActor)[] {
    return live.runs.flatMap((run) => {
      const made = this.#stepper.promiseAt(live, run.path)
      return made === null ? [] : [{ ...run, ...made }]
    })
  }

  /** The actors of a record. @throws TroupeError `internal` if the machine no longer knows its state */
  restore(record: SessionRecord): Live {
    try {
      const { pending, state, children, historyValue } = readRecord(record)
      const { snapshot, root } = this.#stepper.restore({ ...state, children, historyValue })
      const { timers, runs, nextKey, taken } = pending
      return { snapshot, root, timers, runs, nextKey, taken }
    } catch (cause) {
      throw this.#fault(`restoring session ${record.id} at version ${record.version}`, cause)
    }
  }

  /**
   * A session of an older version as one of this version.
   * @throws TroupeError `internal` if `migrate` throws, or what it returns does not fit the machine
   */
  migrate(record: SessionRecord): Plan {
    const { state, children, historyValue, pending } = readRecord(record)
    const event = migratedFrom(record)
    const step = { before: state, event, hops: 0 }
    try {
      this.#migration ??= new Migration(this.definition, this.#log)
      const stored = { event, state, children, historyValue, timers: pending.timers }
      const { outcome, timers } = this.#migration.run(stored)
      const plan = this.#write(step, { ...pending, timers }, outcome)
      // Its actors are those of the migration.
      return { ...plan, live: this.restore({ ...record, state: plan.state, internals: plan.internals }) }
    } catch (cause) {
      throw cause instanceof TroupeError ? cause : this.#fault(step, cause)
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
      return encodeView(record, { context: view(this.restore(record).snapshot as never, principal) })
    } catch (cause) {
      throw this.#fault('computing a view', cause)
    }
  }

  #step(
    live: Live,
    timers: Pending,
    path: readonly string[],
    event: EventObject,
    isKept: boolean,
    hops = 0,
  ): Plan | null {
    const step: Step = { before: live.snapshot, event, hops }
    try {
      const outcome = this.#stepper.step(live, path, event)
      return outcome.isChanged || isKept ? this.#write(step, timers, outcome) : null
    } catch (cause) {
      // Also what is nested too deeply for JSON, or has a getter that throws.
      throw cause instanceof TroupeError ? cause : this.#fault(step, cause)
    }
  }

  #rewrite(live: Live, pending: Partial<Pending>): Plan {
    const { snapshot, root } = live
    const unchanged = { requests: [], made: [], isChanged: true, pathOf: () => null, isKept: () => true }
    return this.#write(
      { before: snapshot, event: null, hops: 0 },
      { ...live, ...pending },
      { snapshot, root, ...unchanged },
    )
  }

  #write(step: Step, before: Pending, outcome: Outcome): Plan {
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
    const persisted = this.#stepper.persist(snapshot)
    this.#checkStorable(persisted.context, 'the context', '', step)
    this.#checkFits('context', persisted.context, 'context', step)
    if (snapshot.output !== undefined) this.#checkStorable(snapshot.output, 'the output', 'output', step)
    if (status === 'done') this.#checkFits('output', snapshot.output, 'output', step)
    const value = JSON.stringify(snapshot.value)
    const output = snapshot.output === undefined ? '' : `,"output":${JSON.stringify(snapshot.output)}`
    const state = `{"status":"${status}","value":${value},"context":${JSON.stringify(persisted.context)}${this.#ofConfiguration(value, snapshot)}${output}}`
    if (hasUnstorableCharacter(state)) {
      throw this.#fault(step, new Error('the context or output holds a NUL or half of a surrogate pair'))
    }
    const internals = this.#internals(persisted, pending, step)
    if (root !== null && (state.includes(REFERENCE) || internals.includes(REFERENCE)))
      this.#stepper.checkReferences(snapshot)
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

  /** The machine's own work: where it does not fit its schema, the fault is not the sender's. */
  #checkFits(
    option: 'context' | 'output' | 'emitted',
    value: unknown,
    what: Parameters<typeof validate>[2],
    step: Step,
  ): void {
    const schema = this.definition[option]
    if (schema === undefined) return
    try {
      validate(schema, value, what)
    } catch (cause) {
      throw this.#fault(step, cause)
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

  #mailText(event: EventObject, step: Step): string {
    this.#checkStorable(event, 'an event for another session', event.type, step)
    const text = JSON.stringify(event)
    if (hasUnstorableCharacter(text))
      throw this.#fault(
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
      throw this.#fault(
        step,
        new Error('an actor or a delayed event holds a NUL or half of a surrogate pair'),
      )
    return text
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
}

/** What a record holds of the actors, apart. */
function readRecord({ state, internals }: SessionRecord) {
  const {
    timers = NOTHING_PENDING.timers,
    runs = NOTHING_PENDING.runs,
    nextKey = NOTHING_PENDING.nextKey,
    taken = NOTHING_PENDING.taken,
    children = {},
    historyValue = {},
  } = JSON.parse(internals) as Internals
  const pending: Pending = { timers, runs, nextKey, taken }
  return { state: JSON.parse(state) as PublicState, children, historyValue, pending }
}

function isEmpty(object: object): boolean {
  for (const _ in object) return false
  return true
}
