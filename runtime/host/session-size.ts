import { TroupeError } from '../../actors/errors.ts'
import type { Plan } from '../../actors/plan.ts'
import type { HostParts } from './host-parts.ts'

/** @returns bytes that a record with this plan takes. @throws TroupeError `too_large` */
export function checkSize({ limits }: Pick<HostParts, 'limits'>, { state, internals, mail }: Plan): number {
  let sent = 0
  for (const { event } of mail) sent += event.length
  if (sent > limits.maxEventBytes)
    throw new TroupeError(
      'too_large',
      `a transition would send ${sent} bytes to other sessions, the limit is ${limits.maxEventBytes}`,
    )
  const size = state.length + internals.length
  if (size <= limits.maxSessionBytes) return size
  throw new TroupeError(
    'too_large',
    `the session would take ${size} bytes, the limit is ${limits.maxSessionBytes}`,
  )
}
