import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { migrate } from '../../persistence/audit/migrations.ts'
import { writeLife } from '../persistence/audit-rows.ts'
import { AuditPlace } from '../persistence/audit-support.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { runAudit } from '../../runtime/cli/audit-commands.ts'

/** When the session of an {@link AuditDesk} began. */
export const START = Date.parse('2026-01-31T12:00:00Z')

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

/** A database with one session, `whole`, of two rows; and the commands asked of it. */
export class AuditDesk {
  readonly place: AuditPlace
  readonly folder = mkdtempSync(join(tmpdir(), 'troupe-audit-'))

  private constructor(place: AuditPlace) {
    this.place = place
  }

  static async open(): Promise<AuditDesk> {
    const desk = new AuditDesk(await AuditPlace.create(redisUrl(), databaseUrl()))
    await migrate(desk.place.pool)
    await writeLife(desk.place, 'whole', 'order', [
      {
        version: 1,
        atMs: START,
        value: 'cart',
        audit: { input: { of: 'Ann' }, principal: 'ann', key: 'k1' },
      },
      {
        version: 2,
        atMs: START + 1000,
        value: { paid: 'packing' },
        audit: { event: { type: 'PAY' } },
        context: { sum: 7 },
      },
    ])
    return desk
  }

  /** @param flags servers other than its own, or `''` for none of that name */
  ask(args: readonly string[], flags: Record<string, string> = {}): Promise<Said> {
    const { databaseUrl, prefix } = this.place
    const servers = { 'database-url': databaseUrl, 'key-prefix': prefix, 'data-dir': this.folder, ...flags }
    const given = Object.entries(servers).flatMap(([flag, value]) =>
      value === '' ? [] : [`--${flag}=${value}`],
    )
    // What is said last counts: an argument of the caller may be a server of its own.
    const [name, ...others] = args
    return saidBy(name === undefined ? [] : [name, ...given, ...others])
  }

  async close(): Promise<void> {
    await this.place.destroy()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
