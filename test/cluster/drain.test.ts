import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { describe, expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster, isAlive } from './cluster.ts'

const servers = () => ({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })

describe('a cluster that is told to leave', () => {
  it('LC2 SIGTERM: replies under way arrive, connections end with a code that says come back, the exit code is 0', async () => {
    const cluster = await Cluster.start(servers())
    try {
      const sockets = await Promise.all(Array.from({ length: 20 }, () => connect(cluster.url)))
      const closed = sockets.map((socket) => new Promise<number>((resolve) => socket.on('close', resolve)))
      const replies = new Map<number, Record<string, unknown>>()
      let sent = 0
      for (const socket of sockets) {
        socket.on('message', (data: Buffer) => {
          const message = JSON.parse(data.toString()) as { id?: number }
          if (message.id !== undefined) replies.set(message.id, message)
        })
        for (let index = 0; index < 20; index++) {
          const params = { machine: 'document', id: `drain-${sent}` }
          socket.send(JSON.stringify({ jsonrpc: '2.0', id: sent++, method: 'createSession', params }))
        }
      }
      await until(() => replies.size > 0)
      expect(await cluster.stop('SIGTERM')).toBe(0)
      for (const code of await Promise.all(closed))
        expect(code).toSatisfy((of: number) => of >= 4000 && of <= 4499)
      const created = [...replies].filter(([, reply]) => 'result' in reply).map(([index]) => `drain-${index}`)
      expect(created.length).toBeGreaterThan(0)
      const rows = await cluster.rows<{ session_id: string }>('select session_id from troupe_transitions')
      const missing = created.filter((id) => !rows.some((row) => row.session_id === id))
      expect(missing, 'acknowledged before the end, and not in PostgreSQL after it').toEqual([])
    } finally {
      await cluster.dropDatabase()
    }
  })

  it('LC1 LC2 the processes of a primary killed with -9 drain and leave', async () => {
    const cluster = await Cluster.start(servers())
    const pids = [...cluster.pids('worker.js'), ...cluster.pids('audit.js')]
    expect(pids).toHaveLength(3)
    const client = await connect(cluster.url)
    const closed = new Promise<number>((resolve) => client.on('close', resolve))
    await cluster.stop('SIGKILL')
    await until(() => pids.every((pid) => !isAlive(pid)))
    expect(await closed, 'drained, not cut off').toSatisfy((code: number) => code >= 4000 && code <= 4499)
    await cluster.dropDatabase()
  })
})

async function until(condition: () => boolean, timeoutMs = 20_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; !condition(); await sleep(20)) {
    if (Date.now() > deadline) throw new Error('waited in vain')
  }
}

function connect(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url)
  return new Promise((resolve, reject) => socket.on('open', () => resolve(socket)).on('error', reject))
}
