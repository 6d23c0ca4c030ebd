/** Which process used the CPU during a measurement, from /proc. On other systems than Linux: nothing is known. */
import { readFileSync, readdirSync } from 'node:fs'

/** Linux counts in hundredths of a second for all architectures that Node runs on (USER_HZ). */
const TICKS_PER_SECOND = 100

interface Process {
  readonly pid: number
  readonly parent: number
  readonly name: string
  readonly seconds: number
}

/** Cores used, by role; `servers` has one figure for each process of the server, the busiest first. */
export interface CpuUse {
  readonly servers: readonly number[]
  readonly redis: number
  readonly postgres: number
  /** All that is not of the bench: other programs, and the kernel's work for the network. */
  readonly others: number
}

export interface CpuSample {
  readonly processes: readonly Process[]
  /** Seconds that all cores together were busy since the machine started. */
  readonly busySeconds: number
}

export const noSample: CpuSample = { processes: [], busySeconds: 0 }

export function sampleCpu(): CpuSample {
  try {
    const processes = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => readProcess(Number(pid)))
      .filter((each) => each !== null)
    return { processes, busySeconds: readBusySeconds() }
  } catch {
    return noSample
  }
}

/**
 * @param rootPid the server's first process; its descendants count as the server's
 * @param redisPid as Redis tells it; 0: elsewhere
 * @param postgresPid the postmaster; 0: unknown or elsewhere
 */
export function cpuBetween(
  before: CpuSample,
  after: CpuSample,
  elapsedMs: number,
  pids: { readonly rootPid: number; readonly redisPid: number; readonly postgresPid: number },
): CpuUse {
  const { processes } = after
  const earlier = new Map(before.processes.map((each) => [each.pid, each.seconds]))
  const parents = new Map(processes.map((each) => [each.pid, each.parent]))
  const coresOf = (each: Process): number =>
    (each.seconds - (earlier.get(each.pid) ?? 0)) / (elapsedMs / 1000)
  const isUnder = (pid: number, root: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = parents.get(at))
      if (at === root) return true
    return false
  }
  const roots = [pids.redisPid, pids.postgresPid, process.pid]
  const sumUnder = (some: readonly number[]): number =>
    processes
      .filter(({ pid }) => some.some((root) => root > 0 && isUnder(pid, root)))
      .reduce((sum, each) => sum + coresOf(each), 0)
  const busy = ((after.busySeconds - before.busySeconds) / elapsedMs) * 1000
  return {
    servers: processes
      .filter((each) => isUnder(each.pid, pids.rootPid))
      .map(coresOf)
      .sort((a, b) => b - a),
    redis: sumUnder([pids.redisPid]),
    postgres: sumUnder([pids.postgresPid]),
    others: Math.max(0, busy - sumUnder(roots)),
  }
}

function readProcess(pid: number): Process | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name stands in brackets and may hold spaces; what follows is separated by them.
    const end = stat.lastIndexOf(')')
    const fields = stat.slice(end + 2).split(' ')
    return {
      pid,
      parent: Number(fields[1]),
      name: stat.slice(stat.indexOf('(') + 1, end),
      seconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    }
  } catch {
    // It ended meanwhile.
    return null
  }
}

/** All columns of the first line but those of idling (4th and 5th) and of guests (9th and later, counted before). */
function readBusySeconds(): number {
  const [line = ''] = readFileSync('/proc/stat', 'latin1').split('\n')
  const columns = line.trim().split(/\s+/).slice(1, 9).map(Number)
  return (
    columns.reduce((sum, ticks, column) => (column === 3 || column === 4 ? sum : sum + ticks), 0) /
    TICKS_PER_SECOND
  )
}
