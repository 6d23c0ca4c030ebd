import { describe, expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { until } from '../transport/support/gateway-rig.ts'
import { EventClient, send } from '../transport/http/http-client.ts'
import { Cluster } from './cluster.ts'

describe('the HTTP API of a cluster', () => {
  it('LC2 SIGTERM: answers under way arrive, streams are sent away, and what was answered is in PostgreSQL', async () => {
    const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })
    try {
      const port = Number(new URL(cluster.url).port)
      const create = (id: string) => send(port, 'POST /sessions', { body: { machine: 'document', id } })
      await create('live')
      // Each on a connection of its own: both workers have some.
      const streams = await Promise.all(
        Array.from({ length: 6 }, () => EventClient.open(port, '/sessions/live/updates')),
      )
      await send(port, 'POST /sessions/live/events', { body: { type: 'SET', state: { n: 1 } } })
      await until(() => streams.every((stream) => stream.text.includes('"n":1')))
      const answered: string[] = []
      const asked = Array.from({ length: 200 }, async (_, n) => {
        const { status } = await create(`drain-${n}`).catch(() => ({ status: 0 }))
        if (status === 201) answered.push(`drain-${n}`)
        else expect([0, 503]).toContain(status)
      })
      await until(() => answered.length > 0)
      expect(await cluster.stop('SIGTERM')).toBe(0)
      await Promise.all([...asked, ...streams.map((stream) => stream.ended)])
      for (const stream of streams) expect(stream.events.at(-1)?.event).toBe('goAway')
      const rows = await cluster.rows<{ session_id: string }>('select session_id from troupe_transitions')
      const missing = answered.filter((id) => !rows.some((row) => row.session_id === id))
      expect(missing, 'answered before the end, and not in PostgreSQL after it').toEqual([])
    } finally {
      await cluster.stop('SIGKILL')
      await cluster.dropDatabase()
    }
  })
})
