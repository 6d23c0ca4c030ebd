import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'

const KILLS = 5
const CLIENTS = 200
const PATIENCE_MS = 10_000

it('LC1 a worker killed while connections are handed to it leaves no client waiting', async () => {
  const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })
  try {
    let opened = 0
    let refused = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const settled = Array.from({ length: CLIENTS }, () => {
        // No handshake timeout: it is the server's part to let nobody wait.
        const socket = new WebSocket(cluster.url)
        return new Promise<WebSocket>((resolve) => {
          socket.on('open', () => (opened++, resolve(socket)))
          socket.on('error', () => (refused++, resolve(socket)))
        })
      })
      await sleep(5 + 5 * kill)
      expect(cluster.killOne('worker.js')).toBe(true)
      const sockets = await Promise.race([Promise.all(settled), sleep(PATIENCE_MS, null, { ref: false })])
      expect(sockets, `clients wait: ${opened} opened, ${refused} refused`).not.toBeNull()
      for (const socket of sockets ?? []) socket.terminate()
      // The next one is to die after it was proven, so that it is started again without a pause.
      await sleep(500)
    }
    expect(opened).toBeGreaterThan(CLIENTS)
  } finally {
    await cluster.stop()
    await cluster.dropDatabase()
  }
})
