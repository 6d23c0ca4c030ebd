/** Certificates are renewed while the cluster serves. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { firstCertificate, secondCertificate } from '../support/certificates.ts'
import type { Certificate } from '../support/certificates.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'

const PATIENCE = { timeout: 40_000, interval: 50 }
/** More than there are workers. */
const ASKED = 6

let folder: string
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'troupe-certificates-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function put({ cert, key }: Pick<Certificate, 'cert' | 'key'>): void {
  writeFileSync(join(folder, 'cert.pem'), cert)
  writeFileSync(join(folder, 'key.pem'), key)
}

/** Names in the certificates that so many new connections are shown. */
async function shown(cluster: Cluster): Promise<string[]> {
  const names: string[] = []
  for (let asked = 0; asked < ASKED; asked++) {
    const socket = connect({ port: Number(new URL(cluster.url).port), rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    names.push(String(socket.getPeerCertificate().subject.CN))
    socket.destroy()
  }
  return names
}

it('LC2 SIGHUP: a renewed certificate is served by all workers, a broken one by none, and clients stay or come back', async () => {
  put(firstCertificate)
  const cluster = await Cluster.start(
    { redisUrl: redisUrl(), databaseUrl: databaseUrl() },
    { LOG_LEVEL: 'info', TLS_CERT: join(folder, 'cert.pem'), TLS_KEY: join(folder, 'key.pem') },
  )
  try {
    expect(cluster.url).toMatch(/^wss:/)
    expect(await shown(cluster)).toEqual(Array(ASKED).fill(firstCertificate.commonName))
    const socket = new WebSocket(cluster.url, { rejectUnauthorized: false })
    await once(socket, 'open')
    const closed = once(socket, 'close') as Promise<[number]>
    const before = cluster.pids('worker.js').sort()

    // The key of another certificate, and half a file, as a renewal that is under way leaves them.
    for (const broken of [
      { cert: secondCertificate.cert, key: firstCertificate.key },
      { cert: secondCertificate.cert.slice(0, 200), key: secondCertificate.key },
    ]) {
      put(broken)
      const said = cluster.log().length
      cluster.signal('SIGHUP')
      await expect
        .poll(() => cluster.log().slice(said), PATIENCE)
        .toMatch(
          /"reason":"worker-1: the certificate .*TLS_CERT.* cannot be used together.*the ones that there are go on/,
        )
      expect(cluster.pids('worker.js').sort()).toEqual(before)
      expect(await shown(cluster)).toEqual(Array(ASKED).fill(firstCertificate.commonName))
      expect(socket.readyState).toBe(WebSocket.OPEN)
    }

    put(secondCertificate)
    cluster.signal('SIGHUP')
    await expect.poll(() => cluster.log(), PATIENCE).toContain('the workers have been replaced')
    expect(await shown(cluster)).toEqual(Array(ASKED).fill(secondCertificate.commonName))
    expect((await closed)[0]).toBe(4000)
  } finally {
    await cluster.stop()
    await cluster.dropDatabase()
  }
})
