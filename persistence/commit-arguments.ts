/** Store entries as the arguments of `commit.lua`, in the order that its header lists. */
import { partitionOf } from '../actors/partitions.ts'
import type { CommitEntry, StoreEntry } from '../actors/ports.ts'
import type { Keys } from './keys.ts'
import { KEY_TTL_MARGIN_MS } from './store-times.ts'

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
  // Number of each partition among those of this call, from 1, in the order in which they are met.
  const partitions = new Map<number, number>()
  const numbers = entries.map(({ id }) => {
    const partition = partitionOf(id)
    if (!partitions.has(partition)) partitions.set(partition, partitions.size + 1)
    return partition
  })
  const call: CommitCall = { keys: [], args: [node, commandKeyTtlMs, partitions.size] }
  for (const partition of partitions.keys()) {
    call.keys.push(keys.home(partition), keys.timers(partition), keys.outbox(partition), keys.mail(partition))
    call.args.push(keys.base(partition))
  }
  entries.forEach((entry, index) => {
    const partition = numbers[index] ?? 0
    call.keys.push(keys.session(entry.id, partition), keys.commandKeys(entry.id, partition))
    encodeEntry(entry, partitions.get(partition) ?? 0, node, call.args)
  })
  return call
}

function encodeEntry(entry: StoreEntry, partition: number, node: string, args: (string | number)[]): void {
  const number = entry.kind === 'check' ? 0 : entry.number
  const base = entry.base ?? NO_POSITION
  const mail = entry.kind === 'commit' ? mailArguments(entry) : NO_MAIL
  // The record's own state, where the audit's is another.
  const last = entry.kind === 'commit' ? entry.transitions.at(-1) : undefined
  const apart = last?.auditedState === undefined ? [] : [last.state]
  const own =
    entry.kind === 'check'
      ? 0
      : entry.kind === 'end'
        ? 2
        : 2 + 3 * entry.transitions.length + mail.length + apart.length
  const span = 1 + 2 * entry.keys.length + own
  const head = `${span} ${entry.kind} ${partition} ${entry.id} ${number} ${entry.reserve ? 1 : 0} ${entry.keys.length} ${base.epoch} ${base.version}`
  args.push(entry.kind === 'commit' ? `${head}${commitWords(entry, mail.length / 2)} ${apart.length}` : head)
  for (const { digest, fingerprint } of entry.keys) args.push(digest, fingerprint)
  if (entry.kind === 'end') args.push(entry.reason, entry.audit)
  if (entry.kind !== 'commit') return
  args.push(entry.internals, feedHead(entry, node))
  entry.transitions.forEach(({ kind, audit, state, auditedState, key }, index) => {
    const keyIndex = key === null ? 0 : entry.keys.indexOf(key) + 1
    args.push(`${kind} ${base.version + 1 + index} ${keyIndex}`, audit, auditedState ?? state)
  })
  args.push(...mail, ...apart)
}

const NO_MAIL: readonly string[] = []

function mailArguments({ base, transitions }: CommitEntry): readonly string[] {
  // Most commits send none.
  if (!transitions.some(({ mail }) => mail.length > 0)) return NO_MAIL
  return transitions.flatMap(({ mail }, transition) =>
    mail.flatMap(({ to, event, hops }, index) => [
      `${(base?.version ?? 0) + 1 + transition} ${index} ${to} ${hops}`,
      event,
    ]),
  )
}

const NO_POSITION = { epoch: '-', version: 0 }

function commitWords(entry: CommitEntry, mailCount: number): string {
  const {
    base,
    machine,
    machineVersion,
    ttlMs,
    doneTtlMs,
    done,
    transitions,
    timers,
    runs,
    firesAt,
    history,
  } = entry
  const lifetime = (done ? doneTtlMs : ttlMs) ?? 0
  const from = base?.version ?? 0
  const count = transitions.length
  return ` ${machine} ${machineVersion} ${ttlMs ?? 0} ${doneTtlMs ?? 0} ${done ? 1 : 0} ${lifetime} ${lifetime + KEY_TTL_MARGIN_MS} ${from + 1} ${from + count} ${count} ${mailCount} ${timers} ${runs} ${firesAt ?? '-'} ${history}`
}

/** Everything of the feed message but the record, see `parseFeedMessage`. */
function feedHead(entry: CommitEntry, node: string): string {
  const base = entry.base?.version ?? 0
  const emitted = entry.emitted
    .map(({ transition, event }) => `[${base + 1 + transition},${event}]`)
    .join(',')
  return `u${entry.id}\n${node}\n${base}\n${entry.events}\n[${emitted}]\n`
}
