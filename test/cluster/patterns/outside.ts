/** The world outside of the sessions: it takes time, and a folder stands for a service that remembers who called it. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** @throws AbortError as soon as the signal fires */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return sleep(ms, undefined, { signal })
}

/** Notes a call. @returns how many there have been under this key */
export async function noteCall(folder: string, key: string): Promise<number> {
  const file = join(folder, key)
  appendFileSync(file, '.')
  return (await readFile(file, 'utf8')).length
}

/** Does a thing once for a key, whoever asks again. @returns whether it was done by this very call */
export function doOnce(folder: string, key: string, what: string): boolean {
  try {
    writeFileSync(join(folder, key), what, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}
