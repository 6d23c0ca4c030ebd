/** The world outside of the sessions: it takes time, and a folder stands for a service that remembers who called it. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
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

/** Does a thing once for a key, whoever asks again. @returns what was done, by this call or one before */
export function doOnce(folder: string, key: string, what: string): string {
  const file = join(folder, key)
  try {
    writeFileSync(file, what, { flag: 'wx' })
    return what
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return readFileSync(file, 'utf8')
    throw error
  }
}
