/** What the primary and its processes say to each other. */
import type { AuditHealth } from '../../persistence/audit/worker.ts'
import type { Options } from '../options.ts'

/** Options of a cluster that has its servers. */
export interface ClusterOptions extends Options {
  readonly redisUrl: string
  readonly databaseUrl: string
}

export type ToProcess =
  | {
      readonly type: 'start'
      readonly name: string
      readonly options: ClusterOptions
      readonly files: readonly string[]
    }
  /** For workers: how the audit does. */
  | { readonly type: 'audit'; readonly health: AuditHealth }
  /** For workers: take no more connections, others do; those that are open go on until the drain. */
  | { readonly type: 'stepBack' }

export type FromProcess =
  /** It listens: what is sent to a cluster worker before is lost. */
  | { readonly type: 'listening' }
  | { readonly type: 'ready' }
  /** It cannot start, and why; it leaves by itself. */
  | { readonly type: 'failed'; readonly reason: string; readonly isServerAway: boolean }
  | { readonly type: 'audit'; readonly health: AuditHealth }
