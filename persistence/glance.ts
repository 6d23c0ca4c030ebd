/**
 * Commits that can be written at a glance: if Redis finds that the session's record begins as its writer knows it, all of it
 * is as known, because a commit id is never used twice and a reservation stands in front of it. Then everything that is to be
 * written came with the commit, and `commit.lua` reads and parses nothing.
 */
import type { CommitEntry } from '../actors/ports.ts'
import { RECORD_FORMAT } from '../actors/record-text.ts'
import { isActive } from '../actors/session.ts'
import type { SessionRecord } from '../actors/session.ts'
import { WRITER_MS } from './store-times.ts'

/** The record that a commit may be written over at a glance: where nothing changes but state and internals; `null`: more is to be looked at. */
export function glanceable(entry: CommitEntry): SessionRecord | null {
  const { found = null, base, machine, machineVersion, ttlMs, doneTtlMs, done, timers, runs, firesAt } = entry
  if (found === null || done || timers !== '-' || runs !== '-' || firesAt !== null) return null
  const isAsBefore =
    found.version === base?.version &&
    found.epoch === base.epoch &&
    isActive(found) &&
    found.timers === '-' &&
    found.runs === '-' &&
    found.machine === machine &&
    found.machineVersion === machineVersion &&
    found.ttlMs === ttlMs &&
    found.doneTtlMs === doneTtlMs
  return isAsBefore ? found : null
}

/** How the text of this record begins, up to its commit. */
export function glanceAt({ updatedAt, expiresAt, epoch, version, commitId }: SessionRecord): string {
  return `${RECORD_FORMAT} ${updatedAt} ${expiresAt ?? 0} - ${epoch} ${version} ${commitId} `
}

/** The writers in the record that such a commit makes: this process, then whoever else has written lately. */
export function writersAfter(
  found: SessionRecord,
  { number, transitions }: CommitEntry,
  node: string,
): string {
  const { epoch, version } = found
  return `;${node}:${number}:${version + 1}:${version + transitions.length}:-:${epoch}${othersIn(found, node)}`
}

function othersIn({ writers, updatedAt }: SessionRecord, node: string): string {
  if (writers === '-') return ''
  if (writers.startsWith(`;${node}:`)) {
    // Mostly nobody else has, and else the last of them has done so longest ago.
    const others = writers.indexOf(';', 1)
    if (others < 0) return ''
    const time = writers.slice(writers.lastIndexOf(';')).split(':')[4]
    if (Number(time) + WRITER_MS >= updatedAt) return writers.slice(others)
  }
  return writers
    .slice(1)
    .split(';')
    .map((writer) => {
      const [name, number, first, last, time, epoch] = writer.split(':')
      const at = time === '-' ? updatedAt : Number(time)
      return name === node || at + WRITER_MS < updatedAt
        ? ''
        : `;${name}:${number}:${first}:${last}:${at}:${epoch}`
    })
    .join('')
}
