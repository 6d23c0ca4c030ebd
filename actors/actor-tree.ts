/**
 * A machine with actors: a session's tree runs as an XState actor with its children, all in memory and all in one step. It
 * moves on in place, so whoever computes a step on it has used it up; the record it came from restores it.
 */
import { createActor } from 'xstate'
import type { AnyActorLogic, AnyActorRef, AnyMachineSnapshot, AnyStateMachine, EventObject } from 'xstate'
import { Stage, wrapMachine } from './actor-logic.ts'
import type { IsNews } from './actor-logic.ts'
import type { ActorPath, Live } from './plan.ts'
import { describeError } from './storable.ts'
import type { Outcome, Persisted, PromiseActor, Stepper } from './stepper.ts'

type Children = Readonly<Record<string, AnyActorRef | undefined>>

export class ActorTree implements Stepper {
  readonly #logic: AnyActorLogic
  readonly #stage: Stage
  readonly #log: (...parts: unknown[]) => void

  /** @param isNews what actors take of the events that they send each other; default: all */
  constructor(machine: AnyStateMachine, log: (...parts: unknown[]) => void, isNews?: IsNews) {
    this.#stage = new Stage(log, isNews)
    this.#logic = wrapMachine(machine, this.#stage, true)
    this.#log = log
  }

  initial(input: unknown): Outcome {
    let root: AnyActorRef | null = null
    this.#stage.run(() => {
      root = this.#create({ input })
      root.start()
    })
    return this.#outcome(root as unknown as AnyActorRef, new Map())
  }

  step({ root }: Live, path: ActorPath, event: EventObject): Outcome {
    if (root === null) throw new TypeError('a tree has a root')
    const before = pathsOf(root)
    this.#stage.run(() => at(root, path)?.send(event))
    return this.#outcome(root, before)
  }

  restore(persisted: object): Pick<Live, 'snapshot' | 'root'> {
    const root = this.#create({ snapshot: persisted })
    // Its actors are told that they start; nothing of it is news to the session (the stage is not open).
    root.start()
    const snapshot = root.getSnapshot() as AnyMachineSnapshot
    // XState keeps what it threw at restoring, in place of throwing it.
    if (snapshot.status === 'error' && (persisted as { status?: unknown }).status === 'active')
      throw snapshot.error
    return { snapshot, root }
  }

  promiseAt({ root }: Live, path: ActorPath): PromiseActor | null {
    const ref = root === null ? undefined : at(root, path)
    const logic = ref === undefined ? undefined : this.#stage.promises.get(ref)
    if (ref === undefined || logic === undefined) return null
    const { input } = ref.getSnapshot() as { input?: unknown }
    return { src: ref.src as string, logic, input }
  }

  persist(snapshot: AnyMachineSnapshot): Persisted {
    checkNames(snapshot.children as Children)
    const { context, historyValue, children } = this.#logic.getPersistedSnapshot(
      snapshot,
    ) as unknown as Persisted
    return { context, historyValue, children: withErrors(children as PersistedChildren) }
  }

  #create(options: object): AnyActorRef {
    const root = createActor(this.#logic, { ...options, logger: this.#log }) as unknown as AnyActorRef
    // Without a listener XState throws an error of the machine at the process.
    root.subscribe({ error: () => undefined })
    // Whoever gets hold of it outside of a step must not end it: it would take no more events, and nobody would notice.
    root.stop = () => root
    return root
  }

  #outcome(root: AnyActorRef, before: ReadonlyMap<AnyActorRef, ActorPath>): Outcome {
    const now = pathsOf(root)
    const { requests, made, isChanged } = this.#stage
    const kept = new Set([...before].filter(([ref]) => now.has(ref)).map(([, path]) => path.join('\n')))
    return {
      snapshot: root.getSnapshot() as AnyMachineSnapshot,
      root,
      requests,
      made,
      isChanged: isChanged || requests.length > 0,
      pathOf: (self) => (self === null ? null : (now.get(self) ?? null)),
      isKept: (path) => kept.has(path.join('\n')),
    }
  }
}

/** Active actors and where they are. */
function pathsOf(root: AnyActorRef): Map<AnyActorRef, ActorPath> {
  const paths = new Map<AnyActorRef, ActorPath>()
  const visit = (ref: AnyActorRef, path: ActorPath): void => {
    const { status, children } = ref.getSnapshot() as { status: string; children?: Children }
    if (status !== 'active') return
    paths.set(ref, path)
    for (const [id, child] of Object.entries(children ?? {})) {
      if (child !== undefined) visit(child, [...path, id])
    }
  }
  visit(root, [])
  return paths
}

function at(root: AnyActorRef, path: ActorPath): AnyActorRef | undefined {
  let ref: AnyActorRef | undefined = root
  for (const id of path) ref = (ref?.getSnapshot() as { children?: Children } | undefined)?.children?.[id]
  return ref
}

/** @throws Error if an actor could not be restored by what a record can hold of it */
function checkNames(children: Children): void {
  for (const [id, child] of Object.entries(children)) {
    if (child === undefined)
      throw new Error(`it spawns actor "${id}" from logic that is not in setup({ actors })`)
    if (typeof child.src !== 'string') {
      throw new Error(
        `it spawns actor "${id}" from logic without a name: put the logic into setup({ actors }), and spawn it by its key`,
      )
    }
    // XState numbers them by process, or calls them all `undefined`.
    if (/^(x:\d+|undefined)$/.test(id)) {
      throw new Error(
        `it spawns "${child.src}" without an id: give it one, spawnChild("${child.src}", { id: … })`,
      )
    }
    checkNames((child.getSnapshot() as { children?: Children }).children ?? {})
  }
}

type PersistedChildren = Record<string, { snapshot: { children?: PersistedChildren; error?: unknown } }>

function withErrors(children: PersistedChildren): PersistedChildren {
  const entries = Object.entries(children).map(([id, child]): [string, PersistedChildren[string]] => {
    const { snapshot } = child
    const errors = snapshot.error instanceof Error ? { error: describeError(snapshot.error) } : {}
    const nested = snapshot.children === undefined ? {} : { children: withErrors(snapshot.children) }
    return [id, { ...child, snapshot: { ...snapshot, ...errors, ...nested } }]
  })
  return Object.fromEntries(entries)
}
