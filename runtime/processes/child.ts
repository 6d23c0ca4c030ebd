/** The frame of a supervised process: wait for the start, run, leave when told or when the primary is gone. */
import cluster from 'node:cluster'
import { messageOf } from '../../actors/errors.ts'
import { StoreFailure } from '../../actors/ports.ts'
import type { Logger } from '../../actors/ports.ts'
import { createLogger } from '../logging.ts'
import type { FromProcess, ToProcess } from './messages.ts'

/** A part that runs in a process of its own. */
export interface Role {
  /** Takes no new work, finishes what is under way within `deadlineMs`, and closes everything. */
  drain(deadlineMs: number): Promise<void>
  heard?(message: ToProcess): void
}

type Start = Extract<ToProcess, { type: 'start' }>

/** Over the deadline of the drain, for what hangs in spite of it. */
const GRACE_MS = 2000

/** @param start resolves with the running role */
export function runChild(start: (message: Start, log: Logger) => Promise<Role>): void {
  let role: Role | null = null
  let deadlineMs = 0
  let isLeaving = false

  const leave = async (): Promise<void> => {
    if (isLeaving) return
    isLeaving = true
    setTimeout(() => process.exit(1), deadlineMs + GRACE_MS).unref()
    await role?.drain(deadlineMs).catch(() => undefined)
    process.exit(0)
  }

  // A terminal signals all processes at once; the primary decides in which order they leave.
  process.on('SIGINT', () => undefined)
  process.on('SIGHUP', () => undefined)
  process.on('SIGTERM', () => void leave())
  // node:cluster ends a worker whose primary is gone at once, unless it is leaving on purpose: it is to drain.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
  process.on('disconnect', () => void leave())
  // A message to a primary that has just died is an error event, not a reason to fail.
  for (const channel of [process, cluster.worker]) channel?.on('error', () => undefined)
  process.on('message', (message: ToProcess) => {
    switch (message.type) {
      case 'audit':
      case 'stepBack':
        role?.heard?.(message)
        return
      case 'start': {
        deadlineMs = message.options.drainTimeoutMs
        const log = createLogger(message.options.logLevel, message.name)
        start(message, log).then(
          (started) => {
            role = started
            tell({ type: 'ready' })
          },
          (error: unknown) => {
            tell({ type: 'failed', reason: messageOf(error), isServerAway: error instanceof StoreFailure })
            log.debug({ error }, 'could not start')
            setTimeout(() => process.exit(1), 100)
          },
        )
      }
    }
  })
  tell({ type: 'listening' })
}

export function tell(message: FromProcess): void {
  if (process.connected) process.send?.(message)
}
