/** Why a row cannot be compared. */
import type { RecordedTransition } from '../../persistence/audit/recorded.ts'
import { isInputKind } from './replay-step.ts'

export const obstacleKinds = {
  forgotten: 'their contents were forgotten',
  redacted: 'a part of them was kept out of the audit',
  'no-event': 'their event is not stored',
  'no-state': 'their state, or a part of it, is not stored',
  failed: 'the machine, or a limit, failed at their event, and it was dropped',
  clock: 'the machine reads the clock or chance outside its events',
  gap: 'the row before them is not there',
  kind: 'they are of a kind that is not known here',
  version: 'no definition of their version is loaded',
  after: 'they follow a row that could not be replayed',
  diverged: 'they follow the divergence',
} as const

export type ObstacleKind = keyof typeof obstacleKinds

export interface Obstacle {
  readonly kind: ObstacleKind
  /** More of it, for people; `null`: there is no more to say. */
  readonly detail: string | null
}

export function obstacle(kind: ObstacleKind, detail: string | null = null): Obstacle {
  return { kind, detail }
}

/** Events of these say nothing that the replay does not know. */
const WITHOUT_EVENT = ['created', 'overdue', 'takeover', 'migrated']

/** What keeps a row from being replayed at all, as far as it can be seen from itself; `null`: nothing. */
export function obstacleIn({
  kind,
  isForgotten,
  event,
  machine,
  redacted,
}: RecordedTransition): Obstacle | null {
  if (isForgotten) return obstacle('forgotten')
  const input = redacted.find((part) => part === 'event' || part === 'input')
  if (input !== undefined) return obstacle('redacted', input)
  if (!isInputKind(kind)) return obstacle('kind', `kind "${kind}"`)
  if (machine === null) return obstacle('no-event')
  const type = (event as { type?: unknown } | null | undefined)?.type
  return typeof type === 'string' || WITHOUT_EVENT.includes(kind) ? null : obstacle('no-event')
}
