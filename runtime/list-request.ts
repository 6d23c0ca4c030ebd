/** What a caller of the TypeScript API asks of a list. */
import type { SessionDefinition } from '../actors/define-session.ts'
import { TroupeError } from '../actors/errors.ts'
import type { ListRequest } from '../actors/session-list.ts'
import { invalidParams } from '../transport/protocol/failures.ts'
import { listSessions } from '../transport/protocol/list-sessions.ts'

export interface ListOptions extends Omit<ListRequest, 'machine' | 'since'> {
  /** A definition, or its name. */
  readonly machine?: SessionDefinition | string | undefined
  /** Only those with a transition since then; a number: ms since 1970. */
  readonly since?: Date | number | undefined
}

/** The same as over HTTP. @throws TroupeError `invalid_params`, `internal` never */
export function asListRequest(options: ListOptions): ListRequest {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw new TroupeError('invalid_params', 'listSessions takes an object')
  const { machine, since, ...others } = options
  const parsed = listSessions.params.safeParse({
    ...others,
    ...(machine === undefined ? {} : { machine: typeof machine === 'object' ? machine.name : machine }),
    ...(since === undefined ? {} : { since: since instanceof Date ? since.getTime() : since }),
  })
  if (!parsed.success) throw invalidParams('listSessions', listSessions.params, parsed.error)
  return parsed.data
}
