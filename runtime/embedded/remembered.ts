import { chownSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** What a small JSON file holds, or `null` if it is missing or damaged: then it is written anew. */
export function recall<T>(file: string, parse: (value: unknown) => T | null): T | null {
  try {
    return parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return null
  }
}

/**
 * Writes the file so that a crash leaves the old or the new one, readable by its owner only. Root leaves it to the
 * owner of the folder, whose next start needs it.
 */
export function remember(file: string, value: object): void {
  const draft = `${file}.${String(process.pid)}.tmp`
  writeFileSync(draft, JSON.stringify(value) + '\n', { mode: 0o600 })
  if (process.getuid?.() === 0) {
    const { uid, gid } = statSync(dirname(file))
    chownSync(draft, uid, gid)
  }
  renameSync(draft, file)
}
