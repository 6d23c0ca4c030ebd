import { vi } from 'vitest'
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
