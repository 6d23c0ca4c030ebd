/** The PostgreSQL of a start that runs in a data folder: found, and left as it is. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive } from './live-process.ts'
import { DATABASE, SUPERUSER } from './postgres-data.ts'
import { recall } from './remembered.ts'

/** Where it answers; `null`: none runs there, or it is not ready. */
export function runningPostgresUrl(dataDir: string): string | null {
  const password = recall(join(dataDir, 'postgres.json'), (value) => {
    const known = (value as { password?: unknown }).password
    return typeof known === 'string' ? known : null
  })
  if (password === null) return null
  try {
    // Lines of postmaster.pid: pid, data folder, start time, port, …, state.
    const lines = readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')
    if (lines[7]?.trim() !== 'ready' || !isAlive({ pid: Number(lines[0]), startedAt: '' })) return null
    return `postgres://${SUPERUSER}:${password}@127.0.0.1:${lines[3] ?? ''}/${DATABASE}`
  } catch {
    return null
  }
}
