import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive, nameProcess, type ProcessName } from './live-process.ts'

/** Another living process keeps its servers in this folder. */
export class DataDirInUseError extends Error {
  readonly pid: number
  constructor(dataDir: string, pid: number) {
    super(
      `${dataDir} is in use by process ${String(pid)}: stop that one first, or give this one another folder (DATA_DIR)`,
    )
    this.name = 'DataDirInUseError'
    this.pid = pid
  }
}

/**
 * Reserves a data folder for this process, until released or the process ends: two starts in one folder would
 * write into each other's servers.
 *
 * @returns releases it.
 * @throws DataDirInUseError
 */
export function lockDataDir(dataDir: string): () => void {
  const file = join(dataDir, 'servers.lock')
  const folder = identityOf(dataDir)
  const mine = JSON.stringify({ ...nameProcess(process.pid), folder })
  const draft = `${file}.${String(process.pid)}.tmp`
  writeFileSync(draft, mine)
  try {
    // Linking creates the lock with its content in one step, and fails if there is one.
    while (!tryLink(draft, file)) {
      const holder = readHolder(file, folder)
      if (holder !== null && isAlive(holder)) throw new DataDirInUseError(dataDir, holder.pid)
      discardStale(file, `${draft}.stale`, folder)
    }
  } finally {
    rmSync(draft, { force: true })
  }
  return () => {
    if (readText(file) === mine) rmSync(file, { force: true })
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Moves a dead process' lock away. If it was replaced by a living one's meanwhile, that one is put back. */
function discardStale(file: string, aside: string, folder: string): void {
  try {
    renameSync(file, aside)
  } catch {
    return
  }
  const holder = readHolder(aside, folder)
  if (holder !== null && isAlive(holder)) tryLink(aside, file)
  rmSync(aside, { force: true })
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Who holds the lock; `null` if it is damaged, or came here with a copy of another folder. */
function readHolder(file: string, folder: string): ProcessName | null {
  try {
    const value = JSON.parse(readText(file)) as Partial<ProcessName & { folder: string }>
    if (typeof value.pid !== 'number' || typeof value.startedAt !== 'string') return null
    return value.folder === folder ? { pid: value.pid, startedAt: value.startedAt } : null
  } catch {
    return null
  }
}

/** Stays the same when the folder is moved, and differs for a copy. */
function identityOf(folder: string): string {
  const { dev, ino } = statSync(folder)
  return `${String(dev)}:${String(ino)}`
}
