/** Store entries as the arguments of `commit.lua`, in the order that its header lists. */
import { partitionOf } from '../actors/partitions.ts'
import type { CommandKey, CommitEntry, StoreEntry } from '../actors/ports.ts'
import type { SessionRecord } from '../actors/session.ts'
import { glanceAt, glanceable, writersAfter } from './glance.ts'
import type { Keys } from './keys.ts'

interface CommitCall {
  readonly keys: string[]
  readonly args: (string | number)[]
  /** Of each entry the writers in its record if it is written at a glance, else `null`. */
  readonly writers: (string | null)[]
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
  const call: CommitCall = { keys: [], args: [node, commandKeyTtlMs, partitions.size], writers: [] }
  for (const partition of partitions.keys()) {
    call.keys.push(keys.home(partition), keys.timers(partition), keys.outbox(partition))
    call.args.push(keys.base(partition))
  }
  entries.forEach((entry, index) => {
    const partition = numbers[index] ?? 0
    const from = call.keys.length
    const mail = entry.kind === 'commit' ? mailArguments(entry) : NO_MAIL
    call.keys.push(keys.session(entry.id, partition))
    if (entry.keys.length > 0 || mail.length > 0 || (entry.kind === 'commit' && entry.base === null))
      call.keys.push(keys.commandKeys(entry.id, partition))
    if (mail.length > 0) call.keys.push(keys.mail(partition))
    const keySpan = call.keys.length - from
    call.writers.push(encodeEntry(entry, partitions.get(partition) ?? 0, keySpan, node, mail, call.args))
  })
  return call
}

/**
 * @param keySpan how many of KEYS belong to it
 * @returns the writers in its record if it is written at a glance
 */
function encodeEntry(
  entry: StoreEntry,
  partition: number,
  keySpan: number,
  node: string,
  mail: readonly string[],
  args: (string | number)[],
): string | null {
  const { kind, id, keys, reserve } = entry
  const number = entry.kind === 'check' ? 0 : entry.number
  const { epoch, version } = entry.base ?? NO_POSITION
  // Its place, as only what follows tells how much that is.
  const at = args.push('') - 1
  for (const key of keys) args.push(key.digest, key.fingerprint, versionOf(key, entry))
  let ofCommit = ''
  let firesAt = ''
  let writers: string | null = null
  if (entry.kind === 'end') args.push(entry.reason, entry.audit)
  else if (entry.kind === 'commit') {
    const known = glanceable(entry)
    if (known !== null) writers = writersAfter(known, entry, node)
    ofCommit = encodeCommit(entry, known, writers ?? '-', node, mail, args)
    firesAt = ` ${entry.firesAt ?? '-'}`
  }
  args[at] =
    `${args.length - at} ${kind} ${partition} ${keySpan} ${keys.length} ${id} ${ofCommit}${number} ${reserve ? 1 : 0} ${epoch} ${version}${firesAt}`
  return writers
}

const NO_POSITION = { epoch: '-', version: 0 }

/** The version that a command key is remembered with; 0: this entry makes none of it. */
function versionOf(key: CommandKey, entry: StoreEntry): number {
  if (entry.kind !== 'commit') return 0
  const index = entry.transitions.findIndex((transition) => transition.key === key)
  return index < 0 ? 0 : (entry.base?.version ?? 0) + 1 + index
}

/**
 * Appends what only a commit has.
 *
 * @param known the record that it may be written over at a glance
 * @returns its words, with a space behind them
 */
function encodeCommit(
  entry: CommitEntry,
  known: SessionRecord | null,
  writers: string,
  node: string,
  mail: readonly string[],
  args: (string | number)[],
): string {
  const { id, number, base, transitions, done } = entry
  const from = base?.version ?? 0
  const commitId = `${node}-${number}`
  const lives = `${entry.ttlMs ?? 0} ${entry.doneTtlMs ?? 0} ${done ? 1 : 0} ${entry.timers} ${entry.runs}`
  const begin = args.length
  args.push(
    known === null ? '' : glanceAt(known),
    ` - ${base?.epoch ?? '-'} ${from + transitions.length} ${commitId} ${entry.machine} ${entry.machineVersion} ${known?.createdAt ?? '-'} ${lives} ${writers}\n${entry.internals}\n`,
    feedHead(entry, node),
  )
  const header = `${id} ${base?.epoch ?? '-'}`
  const behind = `${commitId} ${known?.commitId ?? '-'}`
  let version = from
  let stateAt = 0
  for (const { kind, audit, state, auditedState } of transitions) {
    args.push(`${header} ${++version} ${behind} ${kind}`, audit, auditedState ?? state)
    stateAt = args.length - begin
  }
  args.push(...mail)
  const last = transitions.at(-1)
  if (last?.auditedState !== undefined) stateAt = args.push(last.state) - begin
  const lifetime = (done ? entry.doneTtlMs : entry.ttlMs) ?? 0
  return `${lifetime} ${stateAt} ${transitions.length} ${mail.length / 2} ${entry.history} `
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

/** Everything of the feed message but the record, see `parseFeedMessage`. */
function feedHead(entry: CommitEntry, node: string): string {
  const base = entry.base?.version ?? 0
  const emitted = entry.emitted
    .map(({ transition, event }) => `[${base + 1 + transition},${event}]`)
    .join(',')
  return `u${entry.id}\n${node}\n${base}\n${entry.events}\n[${emitted}]\n`
}
