import { performance } from 'node:perf_hooks'
import { expect } from 'vitest'
import type { Clock, Feed, Logger, Principal } from '../../../actors/ports.ts'
import type { FeedMessage, SessionUpdated } from '../../../actors/feed-message.ts'
import type { SessionId, SessionRecord } from '../../../actors/session.ts'

export const realClock: Clock = {
  now: () => performance.now(),
  setTimeout(callback, ms) {
    const timer = setTimeout(callback, ms)
    return { cancel: () => clearTimeout(timer) }
  },
}

/** Keeps what was logged, so that a test can look at it. */
export class KeptLog implements Logger {
  readonly lines: { level: string; details: object; message: string }[] = []
  debug(details: object, message: string): void {
    this.lines.push({ level: 'debug', details, message })
  }
  info(details: object, message: string): void {
    this.lines.push({ level: 'info', details, message })
  }
  warn(details: object, message: string): void {
    this.lines.push({ level: 'warn', details, message })
  }
  error(details: object, message: string): void {
    this.lines.push({ level: 'error', details, message })
  }
  at(level: string): string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.message)
  }
}

/** A feed whose messages a test hands over by itself. */
export class HandFeed implements Feed {
  readonly subscribed = new Set<string>()
  readonly log: string[] = []
  all = false
  /** What the next subscriptions fail with. */
  failure: Error | null = null
  onMessage: (message: FeedMessage) => void = () => expect.unreachable('nobody listens to the feed')
  onInterrupted: () => void = () => undefined

  async subscribe(id: SessionId): Promise<void> {
    this.log.push(`+${id}`)
    if (this.failure !== null) throw this.failure
    this.subscribed.add(id)
  }
  unsubscribe(id: SessionId): void {
    this.log.push(`-${id}`)
    this.subscribed.delete(id)
  }
  async subscribeAll(): Promise<void> {
    this.all = true
  }
}

export function sessionId(text: string): SessionId {
  return text as SessionId
}

export function makeRecord(
  id: string,
  version: number,
  epoch = '1000',
  context: unknown = { n: version },
): SessionRecord {
  const state = { status: 'active', value: 'on', context, tags: [], accepts: ['ADD'] }
  return {
    id: sessionId(id),
    epoch,
    version,
    commitId: `node-${version}`,
    machine: 'counter',
    machineVersion: 1,
    createdAt: 1,
    updatedAt: 2,
    expiresAt: null,
    ttlMs: null,
    doneTtlMs: null,
    timers: '-',
    runs: '-',
    writers: '-',
    state: JSON.stringify(state),
    internals: '{}',
  }
}

/** The commit that made `record` out of the version before, with one emitted event. */
export function makeUpdate(
  record: SessionRecord,
  node: string,
  baseVersion = record.version - 1,
): SessionUpdated {
  const versions = Array.from({ length: record.version - baseVersion }, (_, n) => baseVersion + 1 + n)
  return {
    kind: 'updated',
    id: record.id,
    node,
    baseVersion,
    record,
    events: JSON.stringify(versions.map(() => 'ADD')),
    emitted: versions.map((version) => ({ version, event: `{"type":"added","version":${version}}` })),
  }
}

export function encodeView(record: SessionRecord, principal: Principal | null = null): string {
  const { id, machine, epoch, version, updatedAt, state } = record
  const head = JSON.stringify({
    id,
    machine,
    epoch,
    version,
    updatedAt,
    ...(principal && { seenBy: principal.id }),
  })
  return `${head.slice(0, -1)},${state.slice(1)}`
}
