/** Store entries as the arguments of `commit.lua`, in the order that its header lists. */
import { partitionOf } from '../actors/partitions.ts'
import type { CommitEntry, StoreEntry } from '../actors/ports.ts'
import type { Keys } from './keys.ts'

interface CommitCall {
  readonly keys: string[]
  readonly args: (string | number)[]
}

export function encodeCall(
  entries: readonly StoreEntry[],
  keys: Keys,
  node: string,
  commandKeyTtlMs: number,
): CommitCall {
  const partitions = new Map<number, number>()
  for (const { id } of entries) {
    const partition = partitionOf(id)
    if (!partitions.has(partition)) partitions.set(partition, partitions.size + 1)
  }
  const call: CommitCall = { keys: [], args: [node, commandKeyTtlMs, partitions.size] }
  for (const partition of partitions.keys()) {
    call.keys.push(keys.home(partition), keys.timers(partition), keys.outbox(partition))
    call.args.push(keys.base(partition))
  }
  for (const entry of entries) {
    call.keys.push(keys.session(entry.id), keys.commandKeys(entry.id))
    encodeEntry(entry, partitions.get(partitionOf(entry.id)) ?? 0, node, call.args)
  }
  return call
}

function encodeEntry(entry: StoreEntry, partition: number, node: string, args: (string | number)[]): void {
  const number = entry.kind === 'check' ? 0 : entry.number
  args.push(entry.kind, partition, entry.id, number, entry.reserve ? 1 : 0, entry.keys.length)
  for (const { digest, fingerprint } of entry.keys) args.push(digest, fingerprint)
  switch (entry.kind) {
    case 'check':
      args.push(entry.base?.epoch ?? '', entry.base?.version ?? 0)
      return
    case 'end':
      args.push(entry.reason, entry.audit)
      return
    case 'commit':
      args.push(entry.base?.epoch ?? '', entry.base?.version ?? 0)
      args.push(
        entry.machine,
        entry.machineVersion,
        entry.ttlMs ?? 0,
        entry.doneTtlMs ?? 0,
        entry.done ? 1 : 0,
      )
      args.push(entry.internals, feedHead(entry, node), entry.transitions.length)
      for (const { kind, audit, state, key } of entry.transitions) {
        args.push(kind, audit, state, key === null ? 0 : entry.keys.indexOf(key) + 1)
      }
  }
}

/** Everything of the feed message but the record, see `parseFeedMessage`. */
function feedHead(entry: CommitEntry, node: string): string {
  const base = entry.base?.version ?? 0
  const emitted = entry.emitted
    .map(({ transition, event }) => `[${base + 1 + transition},${event}]`)
    .join(',')
  return `u${entry.id}\n${node}\n${base}\n${entry.events}\n[${emitted}]\n`
}
