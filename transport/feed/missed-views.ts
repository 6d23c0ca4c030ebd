/** What happened behind `since`, as the views that a client which comes back is shown: all of them, or none. */
import type { SessionUpdated } from '../../actors/feed-message.ts'
import type { Principal, SessionService } from '../../actors/ports.ts'

export interface MissedView {
  readonly news: SessionUpdated
  /** JSON text of the view that the commit led to. */
  readonly view: string
}

/** More characters than this are not sent: the newest view is. */
const MAX_MISSED_LENGTH = 1024 * 1024

/** @returns `null`: they are too much, or one cannot be shown */
export function missedViews(
  service: Pick<SessionService, 'encodeView'>,
  missed: readonly SessionUpdated[],
  principal: Principal | null,
  maxLength = MAX_MISSED_LENGTH,
): readonly MissedView[] | null {
  const views: MissedView[] = []
  let length = 0
  try {
    for (const news of missed) {
      const view = service.encodeView(news.record, principal)
      length += view.length + news.events.length
      for (const { event } of news.emitted) length += event.length
      if (length > maxLength) return null
      views.push({ news, view })
    }
    return views
  } catch {
    return null
  }
}
