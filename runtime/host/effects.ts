/** Runs what a plan asked for, once its commit has won (CM6); at most once, and never to the harm of anything else. */
import { messageOf } from '../../actors/errors.ts'
import type { Effect } from '../../actors/plan.ts'
import type { Logger } from '../../actors/ports.ts'
import type { SessionRecord } from '../../actors/session.ts'

/** Runs the custom actions of a step, in order; one that throws is logged. Never throws. */
export function runEffects(effects: readonly Effect[], record: SessionRecord, log: Logger): void {
  for (const { action } of effects) {
    const failed = (error: unknown): void => {
      const { id, machine, version } = record
      log.error({ id, machine, version, action: action.type, reason: messageOf(error) }, 'an action failed')
    }
    try {
      const info = { ...action.info, self: withoutSending(action.info.self, failed) }
      // XState ignores what an action returns; a promise that is rejected later must not end the process.
      const result: unknown = action.exec?.(info, action.params)
      if (result instanceof Promise) result.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}

type Self = Effect['action']['info']['self']

const INSTEAD =
  'does nothing in an action, which runs after the commit: use raise, sendTo or enqueueActions in the machine, or updateSession of the runtime'

/**
 * An actor as its actions get it: the step is over, so nothing would store what an event did to it. It tells, and does not
 * throw: an action may call it much later, when nobody would catch that.
 */
function withoutSending(self: Self, failed: (error: unknown) => void): Self {
  const refused = (call: string) => () => {
    failed(new Error(`${call} ${INSTEAD}`))
    return outside
  }
  const outside = Object.create(self, {
    send: { value: refused('self.send()') },
    stop: { value: refused('self.stop()') },
  }) as Self
  return outside
}
