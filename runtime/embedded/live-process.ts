import { readFileSync } from 'node:fs'

/** A process, named so that a later one with the same pid is not mistaken for it. */
export interface ProcessName {
  readonly pid: number
  /** When it was started, in the kernel's words; empty where the system does not tell. */
  readonly startedAt: string
}

export function nameProcess(pid: number): ProcessName {
  return { pid, startedAt: startTime(pid) }
}

/** Whether this very process still runs. */
export function isAlive(name: ProcessName): boolean {
  try {
    process.kill(name.pid, 0)
  } catch (error) {
    // EPERM: it runs, but belongs to somebody else.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return name.startedAt === '' || name.startedAt === startTime(name.pid)
}

/** Boot id and start time in ticks since boot (field 22 of /proc/<pid>/stat); a zombie has ended, whatever its pid says. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
    // The second field is the program's name in parentheses, and may hold spaces: count from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z') return 'ended'
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot}/${fields[19] ?? ''}`
  } catch {
    return ''
  }
}

/** Waits until the process has ended. @returns false if it still runs after `timeoutMs`. */
export async function waitForEnd(name: ProcessName, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  while (isAlive(name)) {
    if (Date.now() >= deadline) return false
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return true
}
