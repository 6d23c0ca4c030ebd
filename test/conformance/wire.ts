/** Messages as a client sees them, before anything is known of them. */
import type { z } from 'zod'
import type { methods } from '../../transport/protocol/messages.ts'

export interface ErrorObject {
  readonly code: number
  readonly message: string
  readonly data?: { readonly code?: string; readonly retryable?: boolean; readonly [detail: string]: unknown }
}

export interface Incoming {
  readonly id?: unknown
  readonly method?: string
  readonly params?: unknown
  readonly result?: unknown
  readonly error?: ErrorObject
}

type Methods = typeof methods
/** As a client writes them. */
export type ParamsOf<M extends keyof Methods> = z.input<Methods[M]['params']>
export type ResultOf<M extends keyof Methods> = z.output<Methods[M]['result']>

/** A request, or without `id` a notification. */
export function request(id: unknown, method: string, params: unknown): { id?: unknown } {
  return { jsonrpc: '2.0', ...(id === undefined ? {} : { id }), method, params } as { id?: unknown }
}
