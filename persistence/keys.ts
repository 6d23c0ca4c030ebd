/** The one place where keys and channels are named. All of a session's lie in the slot of its partition's tag. */
import { PARTITIONS, partitionOf, partitionTags } from '../actors/partitions.ts'
import type { SessionId } from '../actors/session.ts'

export class Keys {
  /** How this prefix's data is laid out; a process that differs refuses to start. */
  readonly layout: string
  /** Random bytes that all processes know, and nobody else. */
  readonly secret: string
  /** Hash: which definitions each process serves. */
  readonly processes: string
  /** `<prefix>:{<tag>}:`, one a partition; `commit.lua` builds channel names from it. */
  readonly bases: readonly string[]

  constructor(prefix: string) {
    this.layout = `${prefix}:layout`
    this.secret = `${prefix}:secret`
    this.processes = `${prefix}:processes`
    this.bases = partitionTags.map((tag) => `${prefix}:{${tag}}:`)
  }

  base(partition: number): string {
    const base = this.bases[partition]
    if (base === undefined) throw new RangeError(`partition ${partition} is not in 0 to ${PARTITIONS - 1}`)
    return base
  }

  /** The record or, for a while after its end, the tombstone. */
  session(id: SessionId, partition = partitionOf(id)): string {
    return `${this.base(partition)}session:${id}`
  }

  /** Command keys that were committed lately. */
  commandKeys(id: SessionId, partition = partitionOf(id)): string {
    return `${this.base(partition)}keys:${id}`
  }

  /** List of its last commits as feed messages, oldest first; `commit.lua` builds it from the base too, since most have none. */
  history(id: SessionId): string {
    return `${this.base(partitionOf(id))}history:${id}`
  }

  /** Hash: who is subscribed to the session, see `tell-presence.lua`. */
  presence(id: SessionId): string {
    return `${this.base(partitionOf(id))}presence:${id}`
  }

  /** Sorted set: `x:<id>` by the time when the session may have expired. */
  timers(partition: number): string {
    return `${this.base(partition)}timers`
  }

  /** Stream of committed transitions that PostgreSQL does not hold yet. */
  outbox(partition: number): string {
    return `${this.base(partition)}outbox`
  }

  /** Stream of events from its sessions to others that are not delivered yet. */
  mail(partition: number): string {
    return `${this.base(partition)}mail`
  }

  /** Hash: what is known of the partition's server. */
  home(partition: number): string {
    return `${this.base(partition)}home`
  }

  /** Sharded channel of one session. */
  channel(id: SessionId): string {
    return `${this.base(partitionOf(id))}feed:${id}`
  }

  /** Sharded channel of all sessions of a partition. */
  partitionChannel(partition: number): string {
    return `${this.base(partition)}feed`
  }
}
