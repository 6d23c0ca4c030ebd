/**
 * Who may do what with sessions, asked of their definitions.
 *
 * A rule is asked with the state that the answer rests on: of an update that is the state it is applied to, of all else
 * one that was read after the call came. Where no definition has a rule, here or on other processes, nothing is read and
 * nothing asked. A session whose rule is not known here is for nobody.
 */
import { checkAccess } from '../../actors/access.ts'
import type { SessionAction } from '../../actors/access.ts'
import { refusalOf, sessionOf } from '../../actors/authorization.ts'
import type { AuthorizedSession, AuthorizeRequest } from '../../actors/authorization.ts'
import type { SessionDefinition } from '../../actors/define-session.ts'
import type { TroupeError } from '../../actors/errors.ts'
import type { Kernel } from '../../actors/kernel.ts'
import type { Caller, Logger, Principal, UpdateRequest } from '../../actors/ports.ts'
import type { Registry } from '../../actors/registry.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import type { Versions } from './versions.ts'

export interface PermissionOptions {
  readonly registry: Registry
  readonly versions: Versions
  readonly log: Logger
}

/** Whether a subscriber may see a session as it has become; the error if not. */
export type Screen = (principal: Principal | null, action: SessionAction) => TroupeError | null

export class Permissions {
  readonly #options: PermissionOptions

  constructor(options: PermissionOptions) {
    this.#options = options
  }

  /** Whether calls of this caller have to be judged by what the session is. */
  asks(caller: Caller): boolean {
    if (caller.isTrusted === true) return false
    const { registry, versions } = this.#options
    return registry.hasRules || !versions.servesAll
  }

  /** @param input as the machine is to get it. @throws TroupeError `forbidden` */
  checkCreation(kernel: Kernel, caller: Caller, id: SessionId, input: unknown): void {
    const { definition } = kernel
    checkAccess(caller.principal, 'create', id)
    if (definition.authorize === undefined || caller.isTrusted === true) return
    const about = { principal: caller.principal, action: 'create', id, input } as const
    const error = this.#ask(definition, { ...about, session: () => null })
    if (error !== null) throw error
  }

  /** @param more what is asked for. @throws TroupeError `forbidden`, `unknown_machine_version` */
  check(
    record: SessionRecord,
    caller: Caller,
    action: SessionAction,
    more: { readonly message?: unknown } = {},
  ): void {
    if (!this.asks(caller)) return
    const { kernel, record: shown } = this.#options.versions.shown(record)
    const about = { principal: caller.principal, action, id: record.id, ...more }
    const session = sessionOf(shown, shown.version, shown.state)
    const error = this.#ask(kernel.definition, { ...about, session })
    if (error !== null) throw error
  }

  /** @param session as it is before the event. @throws TroupeError `forbidden` */
  checkUpdate(
    { definition }: Kernel,
    { principal, isTrusted }: Caller,
    id: SessionId,
    event: UpdateRequest['event'],
    session: () => AuthorizedSession,
  ): void {
    if (definition.authorize === undefined || isTrusted === true) return
    const error = this.#ask(definition, { principal, action: 'update', id, event, session })
    if (error !== null) throw error
  }

  /**
   * For all subscribers of a session, with one look at its state; `null`: its definition has no rule.
   * @throws TroupeError `unknown_machine_version`; `internal` if `migrate` fails: who may see it is not known here
   */
  screen(record: SessionRecord): Screen | null {
    const { kernel, record: shown } = this.#options.versions.shown(record)
    const { definition } = kernel
    if (definition.authorize === undefined) return null
    const session = sessionOf(shown, record.version, shown.state)
    return (principal, action) => this.#ask(definition, { principal, action, id: record.id, session })
  }

  #ask(definition: SessionDefinition, request: AuthorizeRequest): TroupeError | null {
    const { authorize, name, version } = definition
    if (authorize === undefined) return null
    return refusalOf(authorize, request, (reason) =>
      this.#options.log.error(
        { machine: name, version, id: request.id, action: request.action, reason },
        'an authorize function failed, so the call is forbidden',
      ),
    )
  }
}
