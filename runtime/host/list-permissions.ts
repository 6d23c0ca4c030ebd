/**
 * Who may see which sessions in lists. Whoever knows an id may use it unless a rule says no, but a list tells ids: with
 * authentication only definitions that have a rule are listed, and a row only if the rule says yes to `list`.
 */
import { refusalOf } from '../../actors/authorization.ts'
import { TroupeError } from '../../actors/errors.ts'
import type { Caller, Logger } from '../../actors/ports.ts'
import type { Registry } from '../../actors/registry.ts'
import type { SessionStatus } from '../../actors/session.ts'
import type { StoredListing } from '../../persistence/audit/session-list.ts'

export interface ListPermissionsOptions {
  readonly registry: Registry
  /** Whether clients say who they are; without, all of them are on this machine. */
  readonly isAuthenticated: boolean
  readonly log: Logger
}

export class ListPermissions {
  readonly #options: ListPermissionsOptions

  constructor(options: ListPermissionsOptions) {
    this.#options = options
  }

  /**
   * Definitions of which this caller may see any; `null`: all.
   * @param machine the only one that is asked for
   * @throws TroupeError `forbidden`
   */
  machinesFor({ principal, isTrusted }: Caller, machine: string | undefined): readonly string[] | null {
    if (isTrusted === true) return machine === undefined ? null : [machine]
    const access = principal?.access
    if (access !== undefined)
      throw new TroupeError('forbidden', `this token is for session "${access.session}" only, and lists none`)
    const { registry, isAuthenticated } = this.#options
    // What is not served here may have a rule that is not known here.
    const listed = registry
      .names()
      .filter((name) => !isAuthenticated || registry.newest(name).definition.authorize !== undefined)
    if (machine === undefined && listed.length > 0) return listed
    if (machine !== undefined && listed.includes(machine)) return [machine]
    const which = machine === undefined ? 'no definition here has' : `"${machine}" has no`
    throw new TroupeError(
      'forbidden',
      `${which} \`authorize\`, which would say who may list its sessions: without it they are listed for nobody`,
    )
  }

  /** The rule is asked with the session as the list has it, which may be behind. */
  maySee({ principal, isTrusted }: Caller, listing: StoredListing): boolean {
    if (isTrusted === true) return true
    const { registry, isAuthenticated, log } = this.#options
    const definition = registry.kernelOf(listing)?.definition
    if (definition === undefined) return false
    const { authorize, name, version: machineVersion } = definition
    if (authorize === undefined) return !isAuthenticated
    const { id, epoch, version, value, context, tags, output } = listing
    // Forgotten: nothing is left that a rule could go by.
    if (value === null || context === null) return false
    const status = listing.status as SessionStatus
    const session = { id, epoch, version, status, value, context, tags, accepts: [], output }
    const refusal = refusalOf(
      authorize,
      { principal, action: 'list', id, session: () => session as never },
      (reason) =>
        log.error(
          { machine: name, version: machineVersion, id, action: 'list', reason },
          'an authorize function failed, so the session is not listed',
        ),
    )
    return refusal === null
  }
}
