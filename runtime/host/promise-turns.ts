/** The turns that promise actors bring about: what one came to, and the takeover of those whose process is gone. */
import { messageOf } from '../../actors/errors.ts'
import type { Result } from '../../actors/kernel.ts'
import { ownersIn } from '../../actors/runs.ts'
import type { Run } from '../../actors/plan.ts'
import { findUnstorable, hasUnstorableCharacter, storableText } from '../../actors/storable.ts'
import type { HostParts } from './host-parts.ts'
import { takeLive } from './internal-turn.ts'
import type { ComputeStep, InternalStep } from './internal-turn.ts'
import type { WarmSession } from './warm-sessions.ts'
import { checkSize } from './session-size.ts'

/** A promise that ends its process each time must not end one after the other for ever. */
const MAX_EXECUTIONS = 10
const TAKEOVER = 'troupe.takeover'
/** Name of the error by which a promise actor fails whose process is gone. */
export const CRASH_ERROR = 'CrashError'

/** What an execution came to; nothing if it does not count any more (TM5): keys begin anew in each life of an id. */
export function resultStep(
  parts: HostParts,
  { key, effectKey }: Pick<Run, 'key' | 'effectKey'>,
  result: Result,
): ComputeStep {
  return (known): InternalStep | null => {
    const { record } = known
    if (!ownersIn(record.runs).some((each) => each.key === key)) return null
    const live = takeLive(parts, known)
    known.live = live
    const run = live.runs.find((each) => each.key === key)
    return run?.effectKey === effectKey ? settledStep(parts, known, run, result) : null
  }
}

/** The session with what a promise came to. Where that fails, the promise has failed with it; where that fails too, it is only over. */
function settledStep(parts: HostParts, known: WarmSession, { key, path }: Run, result: Result): InternalStep {
  const { record } = known
  const kernel = parts.versions.kernelOf(record)
  const actor = path.join('.')
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
    const failure: Result = { error: { name: 'Error', message: failed } }
    try {
      return { ...settle(failure), failed }
    } catch {
      const plan = kernel.drop(kernel.restore(record), key)
      return { kind: 'result', plan, event: eventOf(actor, failure), failed }
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

/** Promise actors that this process has committed and never started, under keys of their own: it is as if they had just been made. */
export function restartStep(
  parts: HostParts,
  runs: readonly Run[],
  isRunning: (key: number) => boolean,
): ComputeStep {
  const { node } = parts.store
  return (known): InternalStep | null => {
    const { record } = known
    const mine = ownersIn(record.runs).filter((each) => each.node === node && !isRunning(each.key))
    const wanted = runs.filter(({ key }) => mine.some((each) => each.key === key))
    if (wanted.length === 0) return null
    const kernel = parts.versions.kernelOf(record)
    const live = takeLive(parts, known)
    known.live = live
    const isSame = ({ key, effectKey }: Run): boolean =>
      wanted.some((each) => each.key === key && each.effectKey === effectKey)
    const keys = live.runs.filter(isSame).map(({ key }) => key)
    if (keys.length === 0) return null
    const event = { type: TAKEOVER, from: node }
    return { kind: 'takeover', plan: kernel.retake(takeLive(parts, known), keys, 0), event }
  }
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
    const event = { type: TAKEOVER, from: node }
    if (failing === undefined) return { kind: 'takeover', plan: kernel.retake(live, keys, 1), event }
    known.live = live
    const error = { name: CRASH_ERROR, message: 'the process that ran it has ended, or lost its lease' }
    return settledStep(parts, known, failing, { error })
  }
}
