/** The check that nothing that clients were told was untrue. */
import { expect } from 'vitest'
import type { Cluster } from './cluster.ts'
import { ResendingClient } from './resending-client.ts'

/** An update that was acknowledged as this version. */
export interface Acknowledged {
  readonly key: string
  readonly version: number
}

interface Row {
  readonly session_id: string
  readonly version: string
  readonly command_key: string | null
}

/**
 * Redis and PostgreSQL hold each session's versions 1…n, and each acknowledged update exactly where it was said.
 * @param acknowledged by session; each key was sent until it was answered, so there is one version for each, and one for the creation
 */
export async function checkAcknowledged(
  cluster: Cluster,
  acknowledged: ReadonlyMap<string, readonly Acknowledged[]>,
): Promise<void> {
  const reader = new ResendingClient(cluster.url)
  const rows = new Map<string, Row[]>()
  for (const row of await cluster.rows<Row>(
    'select session_id, version, command_key from troupe_transitions order by session_id, epoch, version',
  ))
    rows.set(row.session_id, [...(rows.get(row.session_id) ?? []), row])
  for (const [id, updates] of acknowledged) {
    const { result } = await reader.request('getSession', { id })
    const version = Number(result?.['version'])
    expect(version, `version of ${id} in Redis`).toBe(updates.length + 1)
    const ofSession = rows.get(id) ?? []
    expect(
      ofSession.map((row) => Number(row.version)),
      `versions of ${id} in PostgreSQL`,
    ).toEqual(Array.from({ length: version }, (_, index) => index + 1))
    const keys = new Map(ofSession.map((row) => [Number(row.version), row.command_key]))
    const wrong = updates.filter(({ key, version: at }) => keys.get(at) !== key)
    expect(wrong, `acknowledged updates of ${id} that are not where they were said to be`).toEqual([])
    expect(new Set(updates.map(({ version: at }) => at)).size).toBe(updates.length)
  }
  reader.close()
}
