/** A machine without actors: its steps are pure, and nothing but the snapshot is held. */
import type { AnyMachineSnapshot, AnyStateMachine, EventObject } from 'xstate'
import type { ActorPath, Live } from './plan.ts'
import { rebuildMachine } from './rebuild-machine.ts'
import { createCollectingScope } from './scope.ts'
import type { CollectingScope } from './scope.ts'
import { MAX_MESSAGES } from './stepper.ts'
import type { Outcome, Persisted, Request, Stepper } from './stepper.ts'

const ROOT: ActorPath = []
const NOTHING = {}

export class PlainMachine implements Stepper {
  readonly #machine: AnyStateMachine
  readonly #scope: CollectingScope

  constructor(machine: AnyStateMachine, name: string, log: (...parts: unknown[]) => void) {
    this.#machine = rebuildMachine(machine)
    this.#scope = createCollectingScope(name, log)
  }

  initial(input: unknown): Outcome {
    this.#scope.collected = []
    const first = this.#machine.getInitialSnapshot(this.#scope, input) as AnyMachineSnapshot
    if (first.status === 'error') throw first.error
    const requests: Request[] = []
    return outcomeOf(this.#settle(first, requests), requests, true)
  }

  step({ snapshot }: Live, _path: ActorPath, event: EventObject): Outcome {
    const next = this.#take(snapshot, event)
    // Most events ask for nothing.
    if (this.#scope.collected.length === 0) return outcomeOf(next, NO_REQUESTS, next !== snapshot)
    const requests: Request[] = []
    const settled = this.#settle(next, requests)
    return outcomeOf(settled, requests, settled !== snapshot || requests.length > 0)
  }

  restore(persisted: object): Pick<Live, 'snapshot' | 'root'> {
    const snapshot = this.#machine.restoreSnapshot(persisted as never, this.#scope) as AnyMachineSnapshot
    return { snapshot, root: null }
  }

  promiseAt(): null {
    return null
  }

  persist(snapshot: AnyMachineSnapshot): Persisted {
    const { context } = snapshot as { context: unknown }
    if (Object.keys(snapshot.historyValue).length === 0)
      return { context, historyValue: NOTHING, children: NOTHING }
    const persisted = this.#machine.getPersistedSnapshot(snapshot) as unknown as Persisted
    return { context, historyValue: persisted.historyValue, children: NOTHING }
  }

  #take(snapshot: AnyMachineSnapshot, event: EventObject): AnyMachineSnapshot {
    this.#scope.collected = []
    return this.#machine.transition(snapshot, event, this.#scope) as AnyMachineSnapshot
  }

  /** What the machine sends to itself comes after the step, as it would from a mailbox. */
  #settle(from: AnyMachineSnapshot, requests: Request[]): AnyMachineSnapshot {
    let snapshot = from
    const mailbox: EventObject[] = []
    for (let taken = 0; ; taken++) {
      for (const action of this.#scope.collected) {
        const params = action.params as { to?: unknown; event: EventObject; delay?: unknown } | undefined
        if (action.type === 'xstate.sendTo' && params !== undefined) {
          if (params.to !== this.#scope.self)
            throw new Error('it sends to an actor that is not of this session')
          if (typeof params.delay !== 'number') {
            mailbox.push(params.event)
            continue
          }
        }
        requests.push({ self: null, action })
      }
      const event = mailbox.shift()
      if (event === undefined || snapshot.status !== 'active') return snapshot
      if (taken === MAX_MESSAGES)
        throw new Error(`it sends itself more than ${MAX_MESSAGES} events in one step`)
      snapshot = this.#take(snapshot, event)
    }
  }
}

const NO_REQUESTS: readonly Request[] = []
const NONE_MADE: Outcome['made'] = []
const pathOf = (): ActorPath => ROOT
const isKept = (): boolean => true

function outcomeOf(snapshot: AnyMachineSnapshot, requests: readonly Request[], isChanged: boolean): Outcome {
  for (const id in snapshot.children as object) {
    throw new Error(
      `it spawns actor "${id}" from logic without a name: put the logic into setup({ actors }), and spawn it by its key`,
    )
  }
  return { snapshot, root: null, requests, made: NONE_MADE, isChanged, pathOf, isKept }
}
