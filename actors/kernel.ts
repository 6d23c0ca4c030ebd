/**
 * The actor kernel: `(definition, snapshot, event) → plan`. It computes and never acts.
 *
 * Invariants kept here: a plan is pure data (CM6 rests on it); whatever cannot be stored is refused before there is a
 * plan; events of the machine's own kind never come in from outside.
 */
import type { EventObject } from 'xstate'
import { hasActors } from './actor-logic.ts'
import { ActorTree } from './actor-tree.ts'
import type { SessionDefinition } from './define-session.ts'
import { TroupeError } from './errors.ts'
import { isTaken, withTaken } from './mail.ts'
import type { IncomingMail, Taken } from './mail.ts'
import { Migration, migratedFrom } from './migration.ts'
import { NOTHING_PENDING } from './pending.ts'
import type { Pending } from './pending.ts'
import { PlainMachine } from './plain-machine.ts'
import type { Live, Plan, Run, Timer } from './plan.ts'
import { PlanWriter } from './plan-writer.ts'
import type { Step } from './plan-writer.ts'
import type { Principal } from './ports.ts'
import { isReservedEvent } from './reserved.ts'
import { encodeView } from './view.ts'
import type { PublicState, SessionRecord } from './session.ts'
import type { PromiseActor, Stepper } from './stepper.ts'
import { findUnstorable } from './storable.ts'
import { outOfReach } from './timers.ts'
import { validate } from './validate.ts'

/** JSON of a record's third line. */
interface Internals extends Partial<Pending> {
  readonly historyValue?: object
  readonly children?: object
}

const CREATION: Step = { before: null, event: null, hops: 0 }

/** What a promise came to; an error as its name and message. */
export type Result =
  { readonly output: unknown } | { readonly error: { readonly name: string; readonly message: string } }

/** One version of a definition, which computes the steps of its sessions. */
export class Kernel {
  readonly definition: SessionDefinition
  readonly #stepper: Stepper
  readonly #writer: PlanWriter
  readonly #log: (...parts: unknown[]) => void
  #migration: Migration | null = null
  /** The newest first. */
  #shown: readonly { readonly record: SessionRecord; readonly snapshot: Live['snapshot'] }[] = []

  constructor(definition: SessionDefinition, log: (...parts: unknown[]) => void = () => undefined) {
    this.definition = definition
    this.#log = log
    const { machine, name } = definition
    this.#stepper = hasActors(machine) ? new ActorTree(machine, log) : new PlainMachine(machine, name, log)
    this.#writer = new PlanWriter(definition, this.#stepper)
  }

  /**
   * Checks the input of a creation.
   * @returns the input as the machine is to get it
   * @throws TroupeError `event_invalid`; `internal` if the schema makes of it what the audit cannot hold
   */
  admitInput(input: unknown): unknown {
    const { input: schema } = this.definition
    const admitted: unknown = schema === undefined ? input : validate(schema, input, 'input')
    return schema === undefined || admitted === undefined ? admitted : this.#storable(admitted, 'the input')
  }

  /**
   * The first state of a new session.
   * @param input as {@link admitInput} has returned it
   * @throws TroupeError `internal` if the machine throws
   */
  initial(input: unknown): Plan {
    try {
      return this.#writer.write(CREATION, NOTHING_PENDING, this.#stepper.initial(input))
    } catch (cause) {
      throw cause instanceof TroupeError ? cause : this.#writer.fault(CREATION, cause)
    }
  }

  /**
   * Checks an event of a client: reserved types, then the definition's schema.
   * @returns the event as the machine is to get it
   * @throws TroupeError `event_reserved` or `event_invalid`; `internal` if the schema makes of it what the audit cannot hold
   */
  admit(event: EventObject): EventObject {
    if (isReservedEvent(event.type)) {
      throw new TroupeError(
        'event_reserved',
        `event type ${JSON.stringify(event.type)} is reserved for the machine itself and the runtime`,
      )
    }
    const { events } = this.definition
    if (events === undefined) return event
    return this.#storable(validate(events, event, 'event') as EventObject, JSON.stringify(event.type))
  }

  /** What a schema has made of something. */
  #storable<T>(made: T, of: string): T {
    const unstorable = findUnstorable(made)
    if (unstorable === null) return made
    const reason = `what the schema makes of it cannot be stored as JSON at ${unstorable}`
    throw this.#writer.fault(`checking ${of}`, new Error(reason))
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
   * @param gone what is deleted of what it has had, see `withTaken`
   * @param nowMs Redis' time
   * @returns `taken`: it has had it before; `ended`: it takes no more; `null`: the event changes nothing
   * @throws TroupeError `internal` if the machine throws
   */
  take(live: Live, mail: IncomingMail, gone: Taken, nowMs: number): Plan | 'taken' | 'ended' | null {
    if (isTaken(live.taken, mail)) return 'taken'
    if (live.snapshot.status !== 'active') return 'ended'
    const taken = withTaken(live.taken, mail, gone, nowMs)
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
  retake(live: Live, keys: readonly number[], attempts: 0 | 1): Plan {
    let { nextKey } = live
    const runs = live.runs.map((run) =>
      keys.includes(run.key) ? { ...run, key: nextKey++, attempt: run.attempt + attempts } : run,
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
      throw this.#writer.fault(`restoring session ${record.id} at version ${record.version}`, cause)
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
      const stored = { event, state, children, historyValue, timers: pending.timers, runs: pending.runs }
      const { outcome, timers, runs } = this.#migration.run(stored)
      const plan = this.#writer.write(step, { ...pending, timers, runs }, outcome)
      // Its actors are those of the migration.
      return { ...plan, live: this.restore({ ...record, state: plan.state, internals: plan.internals }) }
    } catch (cause) {
      throw cause instanceof TroupeError ? cause : this.#writer.fault(step, cause)
    }
  }

  /** Principals with the same key see a record alike. @throws TroupeError `internal` if the definition's `viewKey` fails */
  viewKey(record: SessionRecord, principal: Principal | null): string {
    const { view, viewKey } = this.definition
    if (view === undefined) return ''
    if (viewKey === undefined) return JSON.stringify(principal)
    try {
      const key: unknown = viewKey(this.#snapshotOf(record), principal)
      if (typeof key === 'string') return key
      throw new TypeError(`viewKey must return a string, and returned ${typeof key}`)
    } catch (cause) {
      throw this.#writer.fault('computing the key of a view', cause)
    }
  }

  /** JSON text of what a principal sees of a record. @throws TroupeError `internal` if the view throws */
  encodeView(record: SessionRecord, principal: Principal | null): string {
    const { view } = this.definition
    if (view === undefined) return encodeView(record)
    try {
      return encodeView(record, { context: view(this.#snapshotOf(record), principal) })
    } catch (cause) {
      throw this.#writer.fault('computing a view', cause)
    }
  }

  /** One after another is asked for by all who see a session, and the one before it for patches: they are restored for the first. */
  #snapshotOf(record: SessionRecord): never {
    let shown = this.#shown.find((each) => each.record === record)
    if (shown === undefined) {
      shown = { record, snapshot: this.restore(record).snapshot }
      this.#shown = [shown, ...this.#shown.slice(0, 1)]
    }
    return shown.snapshot as never
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
      return outcome.isChanged || isKept ? this.#writer.write(step, timers, outcome) : null
    } catch (cause) {
      // Also what is nested too deeply for JSON, or has a getter that throws.
      throw cause instanceof TroupeError ? cause : this.#writer.fault(step, cause)
    }
  }

  #rewrite(live: Live, pending: Partial<Pending>): Plan {
    const { snapshot, root } = live
    const unchanged = { requests: [], made: [], isChanged: true, pathOf: () => null, isKept: () => true }
    return this.#writer.write(
      { before: snapshot, event: null, hops: 0 },
      { ...live, ...pending },
      { snapshot, root, ...unchanged },
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
