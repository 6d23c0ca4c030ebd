/** What waits in a session's mailbox. */
import type { Kernel } from '../../actors/kernel.ts'
import type { Caller, CommandKey, UpdateRequest, UpdateResult } from '../../actors/ports.ts'
import type { ComputeStep } from './internal-turn.ts'
import type { SessionRecord } from '../../actors/session.ts'

interface Answerable<Result> {
  readonly caller: Caller
  resolve(result: Result): void
  reject(error: unknown): void
}

export interface UpdateItem extends Answerable<UpdateResult> {
  readonly kind: 'update'
  readonly request: UpdateRequest
  /** JSON text of the event, for the audit. */
  readonly event: string
  readonly key: CommandKey | null
}

export interface CreateItem extends Answerable<{ created: boolean; record: SessionRecord }> {
  readonly kind: 'create'
  readonly kernel: Kernel
  readonly input: unknown
  readonly ttlMs: number | null
  readonly doneTtlMs: number | null
  readonly ifExists: 'error' | 'return'
  readonly keyText: string | undefined
  readonly key: CommandKey | null
}

export interface DeleteItem extends Answerable<boolean> {
  readonly kind: 'delete'
}

/** Something that no client asked for: a timer, the result of a promise, a takeover, an event of another session. */
interface InternalItem {
  readonly kind: 'internal'
  readonly compute: ComputeStep
  /** Whether there is such a session. */
  resolve(result: boolean): void
  reject(error: unknown): void
}

export type Item = UpdateItem | CreateItem | DeleteItem | InternalItem
