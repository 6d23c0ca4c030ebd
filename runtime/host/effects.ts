/** Runs what a plan asked for, once its commit has won (CM6); at most once, and never to the harm of anything else. */
import { messageOf } from '../../actors/errors.ts'
import type { Effect } from '../../actors/plan.ts'
import type { Logger } from '../../actors/ports.ts'
import type { SessionRecord } from '../../actors/session.ts'

export function runEffects(effects: readonly Effect[], record: SessionRecord, log: Logger): void {
  for (const { action } of effects) {
    const failed = (error: unknown): void => {
      const { id, machine, version } = record
      log.error({ id, machine, version, action: action.type, reason: messageOf(error) }, 'an action failed')
    }
    try {
      // XState ignores what an action returns; a promise that is rejected later must not end the process.
      const result: unknown = action.exec?.(action.info, action.params)
      if (result instanceof Promise) result.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}
