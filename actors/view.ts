/** What clients see of a record, put together as text around the state that is JSON text already. */
import type { PublicState, SessionId, SessionRecord } from './session.ts'

/** A session as its clients see it. */
export interface SessionView<Context = unknown> extends PublicState {
  readonly id: SessionId
  readonly machine: string
  readonly epoch: string
  readonly version: number
  readonly context: Context
  /** Milliseconds since 1970, Redis' clock. */
  readonly updatedAt: number
}

/** JSON text of {@link SessionView}; `instead` replaces the context. */
export function encodeView(record: SessionRecord, instead?: { readonly context: unknown }): string {
  const state = instead === undefined ? record.state : replaceContext(record.state, instead.context)
  return `{"id":"${record.id}","machine":"${record.machine}","epoch":"${record.epoch}","version":${record.version},${state.slice(1, -1)},"updatedAt":${record.updatedAt}}`
}

function replaceContext(state: string, context: unknown): string {
  return JSON.stringify({ ...(JSON.parse(state) as object), context: context ?? null })
}
