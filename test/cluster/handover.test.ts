import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster, isAlive } from './cluster.ts'

const KILLS = 5
const CLIENTS = 200
const PATIENCE_MS = 10_000
/** So often the audit process tells the primary its health, which tells the workers. */
const AUDIT_TELLS_MS = 1000

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

it('LC1 the primary outlives workers that die while it has something to tell them', async () => {
  const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })
  try {
    // It hears of the connections and of the audit's health first, and of the deaths when it has handed them on.
    cluster.signal('SIGSTOP')
    const settled = Array.from({ length: 8 }, () => settle(new WebSocket(cluster.url)))
    await sleep(AUDIT_TELLS_MS + 100)
    for (const pid of cluster.pids('worker.js')) process.kill(pid, 'SIGKILL')
    await sleep(50)
    cluster.signal('SIGCONT')
    const sockets = await Promise.race([Promise.all(settled), sleep(PATIENCE_MS, null, { ref: false })])
    expect(sockets, 'clients wait').not.toBeNull()
    for (const socket of sockets ?? []) socket.terminate()
    await expect.poll(() => cluster.pids('worker.js').length, { timeout: PATIENCE_MS }).toBe(2)
    const socket = await opened(cluster.url)
    socket.terminate()
  } finally {
    await cluster.stop()
    await cluster.dropDatabase()
  }
})

it('LC2 workers that cannot answer their primary any more, since it has died, drain nevertheless', async () => {
  const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })
  const workers = cluster.pids('worker.js')
  try {
    for (const pid of workers) process.kill(pid, 'SIGSTOP')
    const sockets = Array.from({ length: 8 }, () => new WebSocket(cluster.url))
    for (const socket of sockets) socket.on('error', () => undefined)
    await sleep(50)
    await cluster.stop('SIGKILL')
    for (const pid of workers) process.kill(pid, 'SIGCONT')
    await expect.poll(() => workers.filter(isAlive), { timeout: PATIENCE_MS }).toEqual([])
    for (const socket of sockets) socket.terminate()
    expect(cluster.log()).not.toContain('EPIPE')
  } finally {
    await cluster.dropDatabase()
  }
})

/** Once it is open, or refused. */
function settle(socket: WebSocket): Promise<WebSocket> {
  return new Promise((resolve) => {
    for (const event of ['open', 'error']) socket.on(event, () => resolve(socket))
  })
}

async function opened(url: string): Promise<WebSocket> {
  for (;;) {
    const socket = await settle(new WebSocket(url))
    if (socket.readyState === WebSocket.OPEN) return socket
    await sleep(50)
  }
}
