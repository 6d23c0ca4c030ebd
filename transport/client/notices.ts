/** What the listeners of a session hear, and the same as an async iterable. */
import type { EndReason, Position } from '../../actors/session.ts'
import type { ClientError } from './client-error.ts'
import { bothChanges, type MembersChange } from './members.ts'

/**
 * Where a subscription stands: `idle`: nobody listens; `joining`: it is being made, at first or after a loss; `live`; `ended`: the session
 * is no more; `missing`: there was none; `failed`: it was refused; `closed`: by the client itself.
 */
export type Phase = 'idle' | 'joining' | 'live' | 'ended' | 'missing' | 'failed' | 'closed'

/** As those of `runtime.subscribe`, and what only a client meets. */
export type ClientNotice<View> =
  /** `events`: types of the events that led here; empty for replies and for views that were read. */
  | { readonly kind: 'updated'; readonly session: View; readonly events: readonly string[] }
  | { readonly kind: 'emitted'; readonly position: Position; readonly event: unknown }
  | { readonly kind: 'message'; readonly message: unknown }
  /** Messages or emitted events were missed; 0: not known how many, perhaps none. Follows each lost connection. */
  | { readonly kind: 'gap'; readonly dropped: number }
  /** `position`: the end's own, where it is known. */
  | { readonly kind: 'ended'; readonly position: Position | null; readonly reason: EndReason }
  /** Who is subscribed, where anybody listens with `presence`; `error`: the server does not tell. */
  | ({ readonly kind: 'presence'; readonly error?: ClientError } & MembersChange)
  | { readonly kind: 'phase'; readonly phase: Phase; readonly error?: ClientError }

/** Messages and emitted events that wait for a slow consumer, beyond which the oldest are dropped and told as a gap. */
const MAX_WAITING = 1000

/**
 * Notices, for `for await`. A slow consumer skips views: of those that wait only the newest is kept. It ends with the session and
 * with the client, and throws if the subscription is refused.
 *
 * @param subscribe how to listen; called at the first `next`, and ended by `return` (leaving the loop)
 */
export async function* streamNotices<View>(
  subscribe: (listener: (notice: ClientNotice<View>) => void) => () => void,
  first: () => View | null,
): AsyncGenerator<ClientNotice<View>, void, undefined> {
  const waiting: ClientNotice<View>[] = []
  let wake: (() => void) | null = null
  const unsubscribe = subscribe((notice) => {
    enqueue(waiting, notice)
    wake?.()
  })
  try {
    const known = first()
    if (known !== null) enqueue(waiting, { kind: 'updated', session: known, events: [] })
    for (;;) {
      const notice = waiting.shift()
      if (notice === undefined) {
        await new Promise<void>((resolve) => (wake = resolve))
        wake = null
        continue
      }
      yield notice
      if (notice.kind === 'ended') return
      if (notice.kind !== 'phase') continue
      if (notice.error !== undefined) throw notice.error
      if (notice.phase === 'closed') return
    }
  } finally {
    unsubscribe()
  }
}

function enqueue<View>(waiting: ClientNotice<View>[], notice: ClientNotice<View>): void {
  if (notice.kind === 'updated') {
    const older = waiting.findIndex(({ kind }) => kind === 'updated')
    if (older >= 0) waiting.splice(older, 1)
  }
  const last = waiting.findIndex(({ kind }) => kind === 'presence')
  const told = waiting[last]
  if (notice.kind === 'presence' && told?.kind === 'presence') {
    waiting[last] = { ...notice, ...bothChanges(told, notice) }
    return
  }
  waiting.push(notice)
  if (waiting.length <= MAX_WAITING) return
  const at = waiting.findIndex(({ kind }) => kind === 'message' || kind === 'emitted')
  const before = waiting[at - 1]
  if (before?.kind === 'gap') {
    waiting.splice(at - 1, 2, { kind: 'gap', dropped: before.dropped + 1 })
  } else if (at >= 0) {
    waiting.splice(at, 1, { kind: 'gap', dropped: 1 })
  }
}
