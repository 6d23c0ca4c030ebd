/** Runs the promise of a promise actor, apart from its session: what it comes to goes back as an event of its own. */
import { createActor } from 'xstate'
import type { AnyActorRef } from 'xstate'
import type { Run } from './plan.ts'
import type { PromiseActor } from './stepper.ts'

/** What the code of a promise actor can know of its execution, see {@link executionOf}. */
export interface Execution {
  readonly session: string
  /** The same however often it is run: for idempotent calls to other services. */
  readonly effectKey: string
  /** 1, 2, …: counts executions after crashes; attempts after rejections do not count here. */
  readonly attempt: number
}

const executions = new WeakMap<object, Execution>()

/**
 * The execution that a promise actor runs in: `fromPromise(async ({ self, input, signal }) => { executionOf(self).effectKey … })`.
 * @throws Error outside of a promise actor that a session runs
 */
export function executionOf(self: object): Execution {
  const execution = executions.get(self)
  if (execution === undefined)
    throw new Error('executionOf: this is not the `self` of a promise actor of a session')
  return execution
}

export interface PromiseEnds {
  readonly done: (output: unknown) => void
  readonly failed: (error: unknown) => void
}

/** @returns how to abort it: its AbortSignal fires, and neither end is told */
export function runPromise(promise: Run & PromiseActor, execution: Execution, ends: PromiseEnds): () => void {
  let isOver = false
  const once = (end: () => void): void => {
    if (isOver) return
    isOver = true
    end()
  }
  const actor = createActor(promise.logic, {
    id: promise.path.at(-1) ?? promise.src,
    input: promise.input,
  }) as unknown as AnyActorRef
  executions.set(actor, execution)
  actor.subscribe({
    next: ({ status, output }: { status: string; output?: unknown }) => {
      if (status === 'done') once(() => ends.done(output))
    },
    error: (error: unknown) => once(() => ends.failed(error)),
  })
  try {
    actor.start()
  } catch (error) {
    once(() => ends.failed(error))
  }
  return () => once(() => actor.stop())
}
