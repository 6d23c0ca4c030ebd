/** What each method does: parameters in, one answer out. */
import { TroupeError } from '../../actors/errors.ts'
import { comparePositions, type SessionId } from '../../actors/session.ts'
import type { SessionUpdated } from '../../actors/feed-message.ts'
import type { Clock, Principal, SessionService } from '../../actors/ports.ts'
import { invalidParams } from '../protocol/failures.ts'
import { missedUpdateText } from '../protocol/notification-text.ts'
import { methods as schemas, type MethodName, type Params } from '../protocol/messages.ts'
import type { FanOut, JoinOptions } from '../feed/fan-out.ts'
import { missedViews } from '../feed/missed-views.ts'
import { waitFor } from '../feed/wait-for.ts'
import type { Call } from './call.ts'
import type { OrderKind } from './request-order.ts'

export interface MethodContext {
  readonly service: SessionService
  readonly fanOut: FanOut
  readonly clock: Clock
  /** JSON text of the answer to `rpc.discover`. */
  readonly discover: () => string
}

/** A request that is valid and waits for its turn. */
export interface Prepared {
  /** Session in whose order it stands; `null`: none. */
  readonly lane: string | null
  readonly order: OrderKind
  readonly start: () => void
}

interface Method<M extends MethodName> {
  readonly order: OrderKind | ((params: Params<M>) => OrderKind)
  readonly lane: (params: Params<M>) => string | null
  /** Answers `call` now or later, once. */
  readonly run: (context: MethodContext, params: Params<M>, call: Call) => void
}

const ofSession = (params: { readonly id: SessionId }): string => params.id

const table: { readonly [M in MethodName]: Method<M> } = {
  createSession: {
    // Who subscribes must not miss what the next request brings about.
    order: ({ subscribe }) => (subscribe === true ? 'alone' : 'write'),
    lane: (params) => params.id ?? null,
    run({ service, fanOut }, params, call) {
      const { subscribe, ...request } = params
      const takeBack = call.client.claimCreation()
      service.create(request, call.caller).then(
        ({ created, record }) => {
          if (!created) takeBack()
          const head = `{"created":${created},`
          if (subscribe !== true) call.merged(head, record)
          else
            join(
              fanOut,
              record.id,
              false,
              call,
              (newest) => {
                if (newest !== null) call.merged(head, newest)
                else
                  call.fail(
                    new TroupeError('not_found', `The session ${record.id} was created and has ended since.`),
                  )
              },
              (error) => call.fail(notSubscribed(record.id, error)),
            )
        },
        (error: unknown) => {
          takeBack()
          call.fail(error)
        },
      )
    },
  },
  getSession: {
    order: 'read',
    lane: ofSession,
    run({ service }, { id }, call) {
      service.get(id, call.caller).then(
        (record) => {
          if (record === null) call.text('null')
          else call.view(record)
        },
        (error: unknown) => call.fail(error),
      )
    },
  },
  updateSession: {
    order: 'write',
    lane: ofSession,
    run({ service }, params, call) {
      service.update(params, call.caller).then(
        ({ outcome, applied, record }) => {
          call.merged(
            applied === undefined
              ? `{"outcome":"${outcome}",`
              : `{"outcome":"${outcome}","applied":${applied},`,
            record,
          )
        },
        (error: unknown) => call.fail(error),
      )
    },
  },
  deleteSession: {
    order: 'write',
    lane: ofSession,
    run({ service, fanOut }, { id }, call) {
      service.delete(id, call.caller).then(
        (deleted) => {
          const isTold = deleted && call.idText !== null
          if (isTold) call.client.endTold(id)
          call.text(`{"deleted":${deleted}}`)
          if (!isTold) return
          fanOut.leave(id, call.client)
          call.client.releaseSubscription(id)
        },
        (error: unknown) => call.fail(error),
      )
    },
  },
  broadcastToSession: {
    order: 'read',
    lane: ofSession,
    run({ service }, { id, message }, call) {
      service.broadcast(id, message, call.caller).then(
        () => call.text('{}'),
        (error: unknown) => call.fail(error),
      )
    },
  },
  subscribe: {
    order: 'alone',
    lane: ofSession,
    run({ fanOut, service }, { id, since, delta, presence }, call) {
      join(
        fanOut,
        id,
        delta ?? false,
        call,
        (record, history, roster) => {
          const members = (): string => membersText(id, call, roster)
          const missed = history === null ? null : missedText(service, history, call.client.principal)
          if (record === null) call.fail(new TroupeError('not_found', `There is no session ${id}.`))
          else if (since !== undefined && comparePositions(since, record) === 0)
            call.text(() => `{"recovered":true,"session":null${members()}}`)
          else if (missed !== null)
            call.wrapped(() => `{"recovered":true,"updates":[${missed}]${members()},"session":`, record)
          else call.wrapped(() => `{"recovered":false${members()},"session":`, record)
        },
        (error) => call.fail(error),
        { since, presence },
      )
    },
  },
  unsubscribe: {
    order: 'alone',
    lane: ofSession,
    run({ fanOut }, { id }, call) {
      fanOut.leave(id, call.client)
      call.client.releaseSubscription(id)
      call.text('{}')
    },
  },
  waitFor: {
    order: 'read',
    lane: () => null,
    run({ service, fanOut, clock }, { id, until, timeoutMs }, call) {
      if (call.isInBatch) {
        call.fail(new TroupeError('invalid_request', 'waitFor is not answered in a batch: send it alone.'))
        return
      }
      const release = call.client.holds(() => {
        giveUp()
        call.fail(new TroupeError('draining', 'This process is leaving: connect again and wait again.'))
      })
      const giveUp = waitFor(
        { fanOut, service, clock, id, caller: call.caller, until, timeoutMs },
        (record) => {
          release()
          call.view(record)
        },
        (error) => {
          release()
          call.fail(error)
        },
      )
    },
  },
  authenticate: {
    order: 'read',
    lane: () => null,
    run(_context, { token }, call) {
      call.client.authenticate(token).then(
        ({ principal: { id, claims }, expiresAt }) =>
          call.text(JSON.stringify({ principal: { id, claims }, expiresAt })),
        (error: unknown) => call.fail(error),
      )
    },
  },
  'rpc.discover': {
    order: 'read',
    lane: () => null,
    run: ({ discover }, _params, call) => call.text(discover()),
  },
}

/** The updates of a subscription that resumes, without the brackets; `null` if they are too much, or one cannot be shown. */
function missedText(
  service: SessionService,
  missed: readonly SessionUpdated[],
  principal: Principal | null,
): string | null {
  const views = missedViews(service, missed, principal)
  return views === null ? null : views.map(({ news, view }) => missedUpdateText(view, news)).join(',')
}

/** What the reply of `subscribe` says of the members, as they are when it is written: nothing where nobody asked. */
function membersText(id: SessionId, { client }: Call, roster: (() => string) | null): string {
  if (roster === null) return ''
  client.rosterTold(id)
  return `,"presence":${roster()},"client":"${client.clientId}"`
}

/** The word of the catalogue for something that was done though the caller must ask again. */
function notSubscribed(id: SessionId, cause: unknown): TroupeError {
  if (cause instanceof TroupeError && cause.code === 'forbidden') {
    return new TroupeError('forbidden', `The session was created, but ${cause.message}`, {
      details: { outcome: 'committed', id },
    })
  }
  return new TroupeError(
    'timeout',
    `The session ${id} was created, but could not be subscribed to: call subscribe.`,
    {
      details: { outcome: 'committed', id },
      cause,
    },
  )
}

/** Subscribes the caller; the answer must be given within `joined`, since notifications flow from then on. */
function join(
  fanOut: FanOut,
  id: SessionId,
  delta: boolean,
  call: Call,
  joined: Parameters<FanOut['join']>[2],
  failed: (error: unknown) => void,
  options: JoinOptions = {},
): void {
  const { client } = call
  try {
    client.claimSubscription(id, delta)
  } catch (error) {
    failed(error)
    return
  }
  fanOut.join(
    id,
    client,
    (record, missed, roster) => {
      if (record === null) client.releaseSubscription(id)
      if (client.closed) fanOut.leave(id, client)
      joined(record, missed, roster)
    },
    (error) => {
      // Whoever asks again and is refused is not subscribed as before either.
      fanOut.leave(id, client)
      client.releaseSubscription(id)
      failed(error)
    },
    options,
  )
}

/**
 * Validates a request.
 * @throws TroupeError `method_not_found` or `invalid_params`
 */
export function prepare(context: MethodContext, call: Call, params: unknown): Prepared {
  const name = call.method
  if (!Object.hasOwn(table, name)) {
    throw new TroupeError(
      'method_not_found',
      `There is no method ${JSON.stringify(name.slice(0, 64))}; rpc.discover lists them.`,
    )
  }
  return prepareMethod(context, name as MethodName, call, params)
}

function prepareMethod<M extends MethodName>(
  context: MethodContext,
  name: M,
  call: Call,
  params: unknown,
): Prepared {
  const parsed = schemas[name].params.safeParse(params)
  if (!parsed.success) throw invalidParams(name, schemas[name].params, parsed.error)
  const method: Method<M> = table[name]
  const valid = parsed.data as Params<M>
  return {
    lane: method.lane(valid),
    order: typeof method.order === 'string' ? method.order : method.order(valid),
    start: () => {
      try {
        method.run(context, valid, call)
      } catch (thrown) {
        call.fail(thrown)
      }
    },
  }
}
