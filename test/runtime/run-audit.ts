import { vi } from 'vitest'
import type { AuditPlace } from '../persistence/audit-support.ts'
import { runAudit } from '../../runtime/cli/audit-commands.ts'

export interface Said {
  readonly code: number
  readonly out: string
  readonly error: string
}

/** `npm run audit -- …` in this process, because a start of its own would take longer than all that it does. */
export async function saidBy(args: readonly string[]): Promise<Said> {
  let [out, error] = ['', '']
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => Boolean((out += String(text)))),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => Boolean((error += String(text)))),
  ]
  try {
    const code = await runAudit(args)
    return { code, out, error }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

/** The same with the servers of a place, and of this folder. @param flags others, or `''` for none of that name */
export function askAudit(
  { databaseUrl, prefix }: AuditPlace,
  folder: string,
  args: readonly string[],
  flags: Record<string, string> = {},
): Promise<Said> {
  const servers = { 'database-url': databaseUrl, 'key-prefix': prefix, 'data-dir': folder, ...flags }
  const given = Object.entries(servers).flatMap(([flag, value]) =>
    value === '' ? [] : [`--${flag}=${value}`],
  )
  // What is said last counts: an argument of the caller may be a server of its own.
  const [name, ...others] = args
  return saidBy(name === undefined ? [] : [name, ...given, ...others])
}
