/** Results as files, so that two runs can be compared. */
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, release } from 'node:os'
import { fileURLToPath } from 'node:url'

/** Writes `bench/results/<name>-<time>.json` with what is known of the machine. @returns its path. */
export async function writeResults(name: string, results: object): Promise<string> {
  const folder = fileURLToPath(new URL('../results/', import.meta.url))
  await mkdir(folder, { recursive: true })
  const time = new Date().toISOString()
  const path = `${folder}${name}-${time.replaceAll(':', '-').slice(0, 19)}.json`
  await writeFile(path, JSON.stringify({ time, machine: describeMachine(), results }, null, 2))
  return path
}

export function describeMachine(): { cpu: string; cores: number; node: string; system: string } {
  const [first] = cpus()
  return {
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    node: process.version,
    system: `${process.platform} ${release()}`,
  }
}

/** The middle value; of an even number of values, the mean of both in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2
}
