/** The turns that promise actors bring about: what one came to, and the takeover of those whose process is gone. */
import { messageOf } from '../../actors/errors.ts'
import type { Result } from '../../actors/kernel.ts'
import { ownersIn } from '../../actors/runs.ts'
import type { Run } from '../../actors/plan.ts'
import { findUnstorable, hasUnstorableCharacter, storableText } from '../../actors/storable.ts'
import type { HostParts } from './host-parts.ts'
import { takeLive } from './internal-turn.ts'
import type { ComputeStep, InternalStep } from './internal-turn.ts'
import { checkSize } from './session-size.ts'

/** A promise that ends its process each time must not end one after the other for ever. */
const MAX_EXECUTIONS = 10

/** What an execution came to; nothing if it does not count any more (TM5): keys begin anew in each life of an id. */
export function resultStep(
  parts: HostParts,
  { key, effectKey }: Pick<Run, 'key' | 'effectKey'>,
  result: Result,
): ComputeStep {
  return (known): InternalStep | null => {
    const { record } = known
    if (!ownersIn(record.runs).some((each) => each.key === key)) return null
    const kernel = parts.versions.kernelOf(record)
    const live = takeLive(parts, known)
    known.live = live
    const run = live.runs.find((each) => each.key === key)
    if (run?.effectKey !== effectKey) return null
    const actor = run.path.join('.')
    const settle = (of: Result): InternalStep => {
      const settled = kernel.settle(takeLive(parts, known), key, of)
      if (settled === null) throw new Error('the session takes no more events')
      checkSize(parts, settled.plan)
      return { kind: 'result', plan: settled.plan, event: eventOf(actor, of) }
    }
    try {
      return settle(storable(result))
    } catch (error) {
      const failed = storableText(messageOf(error))
      const { id, machine, version } = record
      parts.log.error({ id, machine, version, actor, reason: failed }, 'the result of a promise actor failed')
      known.live = null
      try {
        return { ...settle({ error: { name: 'Error', message: failed } }), failed }
      } catch {
        // Nor does the machine stand its failure: the promise is over, and the session stays as it is.
        const plan = kernel.drop(kernel.restore(record), key)
        return {
          kind: 'result',
          plan,
          event: eventOf(actor, { error: { name: 'Error', message: failed } }),
          failed,
        }
      }
    }
  }
}

function storable(result: Result): Result {
  if ('error' in result) {
    const { name, message } = result.error
    return { error: { name: storableText(name), message: storableText(message) } }
  }
  if (result.output === undefined) return result
  const unstorable = findUnstorable(result.output)
  const problem =
    unstorable !== null
      ? `cannot be stored as JSON at ${unstorable}`
      : hasUnstorableCharacter(JSON.stringify(result.output))
        ? 'holds a NUL or half of a surrogate pair'
        : null
  return problem === null ? result : { error: { name: 'TypeError', message: `its result ${problem}` } }
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
    const kernel = parts.versions.kernelOf(record)
    const live = takeLive(parts, known)
    const policies = kernel.definition.actors ?? {}
    const failing = kernel
      .promisesOf(live)
      .find(
        ({ key, src, attempt }) =>
          keys.includes(key) && (policies[src]?.onCrash === 'fail' || attempt >= MAX_EXECUTIONS),
      )
    parts.log.info({ id: record.id, machine: record.machine, from: node }, 'promise actors are taken over')
    const event = { type: 'troupe.takeover', from: node }
    if (failing === undefined) return { kind: 'takeover', plan: kernel.retake(live, keys), event }
    const error = { name: 'CrashError', message: 'the process that ran it has ended' }
    const failure = eventOf(failing.path.join('.'), { error })
    try {
      const settled = kernel.settle(live, failing.key, { error })
      return settled && { kind: 'result', plan: settled.plan, event: failure }
    } catch (cause) {
      // The machine does not stand the failure: the promise is over, and the session stays as it is.
      const failed = storableText(messageOf(cause))
      parts.log.error(
        { id: record.id, machine: record.machine, reason: failed },
        'the failure of a promise actor failed',
      )
      return {
        kind: 'result',
        plan: kernel.drop(kernel.restore(record), failing.key),
        event: failure,
        failed,
      }
    }
  }
}
