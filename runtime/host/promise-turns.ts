/** The turns that promise actors bring about: what one came to, and the takeover of those whose process is gone. */
import { messageOf } from '../../actors/errors.ts'
import type { Result } from '../../actors/kernel.ts'
import { ownersIn } from '../../actors/runs.ts'
import { findUnstorable } from '../../actors/storable.ts'
import type { HostParts } from './host-parts.ts'
import { takeLive } from './internal-turn.ts'
import type { ComputeStep, InternalStep } from './internal-turn.ts'

/** What an execution came to; nothing if it does not count any more (TM5). */
export function resultStep(parts: HostParts, key: number, result: Result): ComputeStep {
  return (known): InternalStep | null => {
    const { record } = known
    if (!ownersIn(record.runs).some((each) => each.key === key)) return null
    const kernel = parts.registry.kernelOf(record)
    const run = takeLive(parts, known).runs.find((each) => each.key === key)
    if (run === undefined) return null
    const actor = run.path.join('.')
    const settle = (of: Result): InternalStep => {
      const settled = kernel.settle(takeLive(parts, known), key, of)
      if (settled === null) throw new Error('the session takes no more events')
      return { kind: 'result', plan: settled.plan, event: eventOf(actor, of) }
    }
    try {
      return settle(storable(result))
    } catch (error) {
      const failed = messageOf(error)
      const { id, machine, version } = record
      parts.log.error({ id, machine, version, actor, reason: failed }, 'the result of a promise actor failed')
      known.live = null
      try {
        return { ...settle({ error: { name: 'Error', message: failed } }), failed }
      } catch {
        // Nor does the machine stand its failure: the promise is over, and the session stays as it is.
        const plan = kernel.drop(kernel.restore(record), key)
        return { kind: 'result', plan, event: eventOf(actor, result), failed }
      }
    }
  }
}

function storable(result: Result): Result {
  if ('error' in result || result.output === undefined) return result
  const unstorable = findUnstorable(result.output)
  if (unstorable === null) return result
  return { error: { name: 'TypeError', message: `its result cannot be stored as JSON at ${unstorable}` } }
}

function eventOf(
  actor: string,
  result: Result,
): { readonly type: string; readonly error?: unknown; readonly output?: unknown } {
  return 'error' in result
    ? { type: `xstate.error.actor.${actor}`, error: result.error }
    : { type: `xstate.done.actor.${actor}`, output: result.output }
}

/**
 * Promise actors that `node` ran and runs no more: run again by this process under keys of their own, or failed, as their
 * policy says (TM4). `isRunning`: of this process' own ones, those that it still has.
 */
export function takeoverStep(
  parts: HostParts,
  node: string,
  isRunning: (key: number) => boolean,
): ComputeStep {
  return (known): InternalStep | null => {
    const { record } = known
    const keys = ownersIn(record.runs)
      .filter((each) => each.node === node && !isRunning(each.key))
      .map(({ key }) => key)
    const [first] = keys
    if (first === undefined) return null
    const kernel = parts.registry.kernelOf(record)
    const live = takeLive(parts, known)
    const policies = kernel.definition.actors ?? {}
    const failing = kernel
      .promisesOf(live)
      .find(({ key, src }) => keys.includes(key) && policies[src]?.onCrash === 'fail')
    const event = { type: 'troupe.takeover', from: node }
    if (failing === undefined) return { kind: 'takeover', plan: kernel.retake(live, keys), event }
    const error = { name: 'CrashError', message: 'the process that ran it has ended' }
    const settled = kernel.settle(live, failing.key, { error })
    if (settled === null) return null
    return { kind: 'result', plan: settled.plan, event: eventOf(failing.path.join('.'), { error }) }
  }
}
