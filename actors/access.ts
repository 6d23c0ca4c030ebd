/** What can be done with a session, and the tokens whose holder may do some of it with one session only. */
import { TroupeError } from './errors.ts'
import type { SessionId } from './session.ts'

export const sessionActions = [
  'create',
  'get',
  'update',
  'delete',
  'broadcast',
  'subscribe',
  'waitFor',
] as const

/** What somebody asks to do with a session. */
export type SessionAction = (typeof sessionActions)[number]

/** The bounds of an access token: these actions, on this session. */
export interface Access {
  readonly session: SessionId
  readonly actions: readonly SessionAction[]
}

/**
 * Holds a principal to the bounds of its token; whoever has none passes.
 * @throws TroupeError `forbidden`
 */
export function checkAccess(
  principal: { readonly access?: Access | undefined } | null,
  action: SessionAction,
  id: SessionId,
): void {
  const access = principal?.access
  if (access === undefined || (access.session === id && access.actions.includes(action))) return
  const what = `${access.actions.join(', ')} on session "${access.session}"`
  throw new TroupeError('forbidden', `this token is for ${what} only`)
}
