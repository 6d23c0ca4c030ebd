/** The bench's own look at PostgreSQL: which process it is, and what it holds of a run. */
import { readFileSync } from 'node:fs'
import { Client } from 'pg'

export class BenchPostgres {
  readonly #client: Client

  private constructor(client: Client) {
    this.#client = client
  }

  static async connect(url: string): Promise<BenchPostgres> {
    const client = new Client({ connectionString: url })
    client.on('error', () => undefined)
    await client.connect()
    return new BenchPostgres(client)
  }

  /** Version and the postmaster's process id; the id is 0 if it runs on another machine. */
  async server(): Promise<{ version: string; pid: number }> {
    const { rows } = await this.#client.query<{ version: string; pid: number }>(
      `select current_setting('server_version') as version, pg_backend_pid() as pid`,
    )
    const { version = 'unknown', pid = 0 } = rows[0] ?? {}
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      return { version, pid: stat.includes('(postgres)') ? Number(/\) \S (\d+)/.exec(stat)?.[1] ?? 0) : 0 }
    } catch {
      return { version, pid: 0 }
    }
  }

  /** Events of the sessions of a run in the audit. */
  async eventsOf(run: string): Promise<number> {
    const { rows } = await this.#client.query<{ count: string }>(
      `select count(*) from troupe_transitions where kind = 'event' and starts_with(session_id, $1)`,
      [`${run}-`],
    )
    return Number(rows[0]?.count ?? 0)
  }

  async close(): Promise<void> {
    await this.#client.end()
  }
}
