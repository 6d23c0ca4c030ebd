/** Lists of sessions from the table that holds their newest positions, with connections that are opened when one is asked for. */
import type pg from 'pg'
import { TroupeError } from '../../actors/errors.ts'
import type { ListedSession, ListedStatus, ListRequest } from '../../actors/session-list.ts'
import { openDatabase } from './database.ts'
import { classifyFailure, codeOf, reasonOf } from './failure.ts'
import { stateMark, tagMark } from './marks.ts'

/** Where a page begins: behind this session. */
export interface ListPlace {
  readonly epoch: string
  readonly sessionId: string
}

export interface ListQuestion extends Pick<ListRequest, 'state' | 'tag' | 'status' | 'since'> {
  /** Definitions; `null`: all. */
  readonly machines: readonly string[] | null
  readonly after: ListPlace | null
  readonly limit: number
}

/** A session with what only its definition's rule is to see of it. */
export interface StoredListing extends ListedSession {
  readonly context: unknown
  readonly output: unknown
}

interface Row {
  readonly session_id: string
  readonly machine: string
  readonly machine_version: number
  readonly epoch: string
  readonly version: string
  readonly status: string
  readonly value: unknown
  readonly tags: readonly string[] | null
  readonly context: unknown
  readonly output: unknown
  readonly created_at: Date | null
  readonly updated_at: Date
}

/** A list is looked at by people: who waits longer has gone. */
const ANSWER_MS = 5_000
/** SQLSTATE of a table or column that is not there: no audit process of this version has run yet. */
const NOT_THERE = ['42P01', '42703']
const TOOK_TOO_LONG = '57014'

/** The statement of a question: only what is asked stands in it, so that the planner sees which indexes are of use. */
export function listStatement({ machines, state, tag, status, since, after, limit }: ListQuestion): {
  readonly text: string
  readonly values: unknown[]
} {
  const values: unknown[] = []
  const place = (value: unknown): string => `$${values.push(value)}`
  const marks = [
    ...(state === undefined ? [] : [stateMark(state)]),
    ...(tag === undefined ? [] : [tagMark(tag)]),
  ]
  const isEnded = status === 'deleted' || status === 'expired'
  const conditions = [
    'machine is not null',
    isEnded ? 'ended_at is not null' : 'ended_at is null',
    ...(status === undefined ? [] : [`status = ${place(status)}`]),
    // One is equality, which keeps the order of the index.
    ...(machines === null
      ? []
      : machines.length === 1
        ? [`machine = ${place(machines[0])}`]
        : [`machine = any(${place(machines)})`]),
    ...(marks.length === 0 ? [] : [`marks @> ${place(marks)}::text[]`]),
    ...(since === undefined ? [] : [`updated_at >= ${place(new Date(since))}`]),
    // The first is a bound of the index; both are the order.
    ...(after === null
      ? []
      : [
          `epoch <= ${place(after.epoch)}::bigint`,
          `(epoch < ${place(after.epoch)}::bigint or session_id > ${place(after.sessionId)} collate "C")`,
        ]),
  ]
  return {
    text: `
      select session_id, machine, machine_version, epoch::text, version::text, status, value, tags, context, output,
             created_at, updated_at
        from troupe_sessions
       where ${conditions.join(' and ')}
       order by troupe_sessions.epoch desc, session_id
       limit ${place(limit)}`,
    values,
  }
}

export class SessionList {
  readonly #databaseUrl: string
  #pool: pg.Pool | null = null

  constructor(databaseUrl: string) {
    this.#databaseUrl = databaseUrl
  }

  /** Sessions created last come first. @throws TroupeError `unavailable` */
  async page(question: ListQuestion): Promise<StoredListing[]> {
    this.#pool ??= openDatabase({ databaseUrl: this.#databaseUrl, max: 2, statementMs: ANSWER_MS })
    const { text, values } = listStatement(question)
    try {
      const { rows } = await this.#pool.query<Row>(text, values)
      return rows.map(listingOf)
    } catch (cause) {
      throw failureOf(cause)
    }
  }

  async close(): Promise<void> {
    await this.#pool?.end().catch(() => undefined)
  }
}

function listingOf(row: Row): StoredListing {
  return {
    id: row.session_id as ListedSession['id'],
    machine: row.machine,
    machineVersion: row.machine_version,
    epoch: row.epoch,
    version: Number(row.version),
    status: row.status as ListedStatus,
    value: row.value,
    tags: row.tags ?? [],
    context: row.context,
    output: row.output,
    createdAt: row.created_at === null ? null : row.created_at.getTime(),
    updatedAt: row.updated_at.getTime(),
  }
}

function failureOf(cause: unknown): unknown {
  const code = codeOf(cause) ?? ''
  const unavailable = (what: string): TroupeError => new TroupeError('unavailable', what, { cause })
  if (NOT_THERE.includes(code))
    return unavailable('sessions cannot be listed yet: the audit has not made its tables')
  if (code === TOOK_TOO_LONG || /timeout/i.test(reasonOf(cause)))
    return unavailable(`PostgreSQL did not list the sessions within ${ANSWER_MS / 1000} s: ask for less`)
  if (classifyFailure(cause) === 'away')
    return unavailable(
      'sessions cannot be listed now: PostgreSQL cannot be reached. The sessions themselves go on',
    )
  return cause
}
