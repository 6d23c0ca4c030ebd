/**
 * Lists of sessions for whoever may see them. They come from PostgreSQL, which no session waits for: a list may be behind, says
 * how far, and is `unavailable` where PostgreSQL is, while sessions go on.
 */
import { messageOf, TroupeError } from '../actors/errors.ts'
import type { Caller } from '../actors/ports.ts'
import type { Registry } from '../actors/registry.ts'
import { DEFAULT_PAGE } from '../actors/session-list.ts'
import type { ListedSession, ListRequest, SessionPage } from '../actors/session-list.ts'
import { checkUntil } from '../actors/until.ts'
import type { Until } from '../actors/until.ts'
import type { OutboxAge } from '../persistence/audit/outbox-age.ts'
import type { ListPlace, SessionList, StoredListing } from '../persistence/audit/session-list.ts'
import type { ListPermissions } from './host/list-permissions.ts'
import { decodeCursor, encodeCursor } from './list-cursor.ts'

export interface SessionListingOptions {
  /** `null`: this process has no PostgreSQL. */
  readonly list: Pick<SessionList, 'page'> | null
  readonly outbox: Pick<OutboxAge, 'oldestMs'>
  /** For cursors: 32 bytes, the same on all processes. Rejects where Redis does not answer. */
  readonly secret: () => Promise<Buffer>
  readonly registry: Registry
  readonly permissions: ListPermissions
  /** Redis' time, a lower bound. */
  readonly now: () => number
}

/** Rows that are looked at for one page: of what a caller may not see, there may be much. */
const MAX_LOOKED_AT = 2_000

export class SessionListing {
  readonly #options: SessionListingOptions

  constructor(options: SessionListingOptions) {
    this.#options = options
  }

  /**
   * @param request its members are of the right types
   * @throws TroupeError `invalid_params`, `unknown_machine`, `forbidden`, `unavailable`
   */
  async page(request: ListRequest, caller: Caller): Promise<SessionPage> {
    const { list, permissions } = this.#options
    const { machine, state, tag, status, since, limit = DEFAULT_PAGE } = request
    if (machine !== undefined) this.#checkNames(request, machine)
    const machines = permissions.machinesFor(caller, machine)
    let after =
      request.cursor === undefined ? null : decodeCursor(await this.#secret(), request, request.cursor)
    if (list === null)
      throw new TroupeError(
        'unavailable',
        'sessions are listed from PostgreSQL, and this process has no databaseUrl',
      )
    // First: what comes to PostgreSQL meanwhile makes the list newer than it says, never older.
    const lag = await this.#lag()
    const sessions: ListedSession[] = []
    const question = { machines, state, tag, status, since }
    const batch = caller.isTrusted === true ? limit + 1 : Math.min(2 * limit + 1, MAX_LOOKED_AT)
    for (let lookedAt = 0; ;) {
      const rows = await list.page({ ...question, after, limit: batch })
      for (const [index, row] of rows.entries()) {
        if (sessions.length === limit) {
          const last = rows[index - 1]
          return { sessions, nextCursor: await this.#cursor(request, last ? placeOf(last) : after), ...lag }
        }
        if (permissions.maySee(caller, row)) sessions.push(shown(row))
      }
      lookedAt += rows.length
      const last = rows.at(-1)
      if (last === undefined || rows.length < batch) return { sessions, nextCursor: null, ...lag }
      after = placeOf(last)
      if (lookedAt >= MAX_LOOKED_AT)
        return { sessions, nextCursor: await this.#cursor(request, after), ...lag }
    }
  }

  async #cursor(request: ListRequest, place: ListPlace | null): Promise<string | null> {
    return place && encodeCursor(await this.#secret(), request, place)
  }

  async #secret(): Promise<Buffer> {
    try {
      return await this.#options.secret()
    } catch (cause) {
      throw new TroupeError('unavailable', 'Redis does not answer, which has the key of cursors', { cause })
    }
  }

  /** Refuses what no version of the definition can be in, as a misspelt state. */
  #checkNames({ state, tag }: ListRequest, machine: string): void {
    // There must be one.
    this.#options.registry.newest(machine)
    if (state !== undefined) this.#checkName('state', machine, { value: valueOf(state) })
    if (tag !== undefined) this.#checkName('tag', machine, { tag })
  }

  #checkName(name: string, machine: string, until: Until): void {
    const { registry } = this.#options
    let problem = ''
    for (const machineVersion of registry.versions()[machine] ?? []) {
      const kernel = registry.kernelOf({ machine, machineVersion })
      if (kernel === null) continue
      try {
        checkUntil(until, kernel.definition.machine)
        return
      } catch (error) {
        problem = messageOf(error)
      }
    }
    throw new TroupeError('invalid_params', `${name}: ${problem.replace(/^until\.[^:]*: /, '')}`)
  }

  async #lag(): Promise<Pick<SessionPage, 'lagMs' | 'asOf'>> {
    const { outbox, now } = this.#options
    // Before it is asked, and not within that millisecond: what is said to be in the list must be.
    const askedAt = Math.floor(now()) - 1
    try {
      const lagMs = await outbox.oldestMs()
      return { lagMs, asOf: askedAt - lagMs }
    } catch {
      return { lagMs: null, asOf: null }
    }
  }
}

/** `a.b.c` as XState writes it. */
function valueOf(path: string): unknown {
  const [first = '', ...others] = path.split('.')
  return others.length === 0 ? first : { [first]: valueOf(others.join('.')) }
}

function placeOf({ epoch, id }: ListedSession): ListPlace {
  return { epoch, sessionId: id }
}

/** Without what is for the rule alone. */
function shown({ context: _, output: __, ...listed }: StoredListing): ListedSession {
  return listed
}
