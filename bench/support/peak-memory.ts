/** The most memory that a process has held. */
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Watches until the process has ended. @returns the high-water mark so far, in MB */
export function watchPeakMemory(child: ChildProcess): () => number {
  let peakMb = 0
  const watch = setInterval(() => (peakMb = Math.max(peakMb, peakOf(child.pid ?? 0))), 20)
  child.once('close', () => clearInterval(watch))
  return () => peakMb
}

function peakOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
  } catch {
    return 0
  }
}
