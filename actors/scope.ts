/**
 * The ActorScope that machines run in here. XState's own pure `transition()` builds an actor, and runs the machine's
 * context factory, at each call; a scope that is built once makes the same step several times cheaper
 * (docs/adr/0002-kernel.md). It only collects: whatever a machine wants done is returned as data.
 */
import { createEmptyActor } from 'xstate'
import type { AnyActorScope, ExecutableActionObject } from 'xstate'

export interface CollectingScope extends AnyActorScope {
  /** The actions of the step under way, in order. */
  collected: ExecutableActionObject[]
}

/** @param log receives what the machine's `log` actions say, once they are run. */
export function createCollectingScope(id: string, log: (...parts: unknown[]) => void): CollectingScope {
  const self = createEmptyActor()
  const scope: CollectingScope = {
    self,
    id,
    sessionId: id,
    system: self.system,
    logger: log,
    defer: () => undefined,
    emit: () => undefined,
    stopChild: () => undefined,
    actionExecutor: (action) => scope.collected.push(action),
    collected: [],
  }
  return scope
}
