/** The two requests that last: the stream of a session's updates, and waiting for it to come to something. */
import { TroupeError } from '../../actors/errors.ts'
import type { SessionRecord } from '../../actors/session.ts'
import type { Params } from '../protocol/messages.ts'
import type { FanOut } from '../feed/fan-out.ts'
import { missedViews } from '../feed/missed-views.ts'
import { waitFor } from '../feed/wait-for.ts'
import { Abandoned } from './body.ts'
import { EventStream } from './event-stream.ts'
import type { Exchange, HttpContext } from './exchange.ts'
import type { Lasting } from './lasting-requests.ts'

const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store',
  // Tells proxies of nginx's kind to hand on each event at once.
  'X-Accel-Buffering': 'no',
}

/** Node's timers wait no longer. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Begins the stream, which then goes on by itself.
 * @throws TroupeError `not_found`, `unavailable`; 503 if there are too many
 */
export async function openUpdates(
  { fanOut, service, clock, limits, lasting, blame }: HttpContext,
  { id, since }: Params<'subscribe'>,
  exchange: Exchange,
): Promise<void> {
  const { response, request, principal, expiresAt, caller } = exchange
  const notFound = (): TroupeError => new TroupeError('not_found', `There is no session ${id}.`)
  if (request.method === 'HEAD') {
    if ((await service.get(id, caller)) === null) throw notFound()
    response.writeHead(200, STREAM_HEADERS)
    response.end()
    return
  }
  let release = (): void => undefined
  let refuse: (error: Error) => void = () => undefined
  // Who sends it is asked again when it comes back.
  const inMs = (expiresAt ?? Infinity) - Date.now()
  const expiry = inMs > MAX_TIMER_MS ? null : clock.setTimeout(() => stream.seeOff(), Math.max(0, inMs))
  const stream = new EventStream({
    response,
    id,
    principal,
    maxBufferedBytes: limits.maxBufferedBytes,
    maxBacklogBytes: limits.maxBacklogBytes,
    onUndeliverable: (error) => blame('sessionUpdated', error).details['elsewhere'] === true,
    onOver: (over) => {
      expiry?.cancel()
      release()
      fanOut.leave(id, over)
      refuse(response.destroyed ? new Abandoned() : notBegun())
    },
  })
  release = lasting.take(stream, exchange)
  try {
    await new Promise<void>((resolve, reject) => {
      refuse = reject
      const begin: Parameters<FanOut['join']>[2] = (record, history) => {
        if (record === null) {
          reject(notFound())
        } else if (stream.isOver) {
          fanOut.leave(id, stream)
          reject(new Abandoned())
        } else {
          // The view first: if that fails the answer is an error.
          const view = service.encodeView(record, principal)
          const missed =
            history === null ? null : missedViews(service, history, principal, limits.maxBacklogBytes / 4)
          response.writeHead(200, STREAM_HEADERS)
          stream.begin(record, view, since, missed)
          resolve()
        }
      }
      fanOut.join(id, stream, begin, reject, { since })
    })
  } catch (error) {
    expiry?.cancel()
    release()
    throw error
  }
}

function notBegun(): TroupeError {
  return new TroupeError('unavailable', 'The stream was to end before it could begin: open it again.')
}

/** @throws TroupeError `timeout`, `not_found`, `session_ended`, `draining` …; {@link Abandoned} */
export function waitForRecord(
  { fanOut, service, clock, lasting }: HttpContext,
  { id, until, timeoutMs }: Params<'waitFor'>,
  exchange: Exchange,
): Promise<SessionRecord> {
  const { response, caller } = exchange
  // Then it has told so already.
  if (response.destroyed) return Promise.reject(new Abandoned())
  return new Promise((resolve, reject) => {
    const over = (): void => {
      release()
      response.off('close', abandon)
    }
    const end = (error: Error): void => {
      giveUp()
      over()
      reject(error)
    }
    const abandon = (): void => end(new Abandoned())
    const waiting: Lasting = {
      beat: () => undefined,
      seeOff: () =>
        end(new TroupeError('draining', 'This process is leaving: send it again, and wait elsewhere.')),
      cut: () => {
        abandon()
        response.destroy()
      },
    }
    const release = lasting.take(waiting, exchange)
    response.on('close', abandon)
    const giveUp = waitFor(
      { fanOut, service, clock, id, caller, until, timeoutMs },
      (record) => {
        over()
        resolve(record)
      },
      (error) => {
        over()
        reject(error as Error)
      },
    )
  })
}
