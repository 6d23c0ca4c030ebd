import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket, WebSocketServer } from 'ws'
import { describe, expect, it } from 'vitest'
import { createWebServer, readCertificate } from '../../runtime/processes/web-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-tls-'))

function pem(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

/** Of nobody: made for this test. */
const cert = pem(
  'cert.pem',
  `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUNAS6x9zcgKuBPZYLf9m5K1w9vRgwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzA4MzU1NVoYDzIxMjYxMTAz
MDgzNTU1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARuSdluIQRQ4dAc9KpdPuVwP0X9ubJP2nn+Sb38TJ6YaHCikiOKijsp
csw77mvAonMGSjGvlw985Efhj1RG0bY/o28wbTAdBgNVHQ4EFgQUqC/Jyt2usmRn
f3wkqnzIgg0OYcUwHwYDVR0jBBgwFoAUqC/Jyt2usmRnf3wkqnzIgg0OYcUwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAPTc2x2L6Aa6tURmvJn5TNFqjo1EFOUvLdtpIpdGwv0oAiBm
17Z0d2u7D0kxPagiNHSOWqFaazLuTUWX/xjKafTNtw==
-----END CERTIFICATE-----
`,
)
const key = pem(
  'key.pem',
  `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgq12TK8MjkHBPzz/i
oQSqeQao/9hCzJksmrG0apuZ/rihRANCAARuSdluIQRQ4dAc9KpdPuVwP0X9ubJP
2nn+Sb38TJ6YaHCikiOKijspcsw77mvAonMGSjGvlw985Efhj1RG0bY/
-----END PRIVATE KEY-----
`,
)
const otherKey = pem(
  'other.pem',
  `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXKIJrOT03XOT20hK
SCNsK67Q7jX5XWEvOU8vcXcX26ihRANCAASs5r1BFSWlS1owJDldPwN8Ne0I8BmC
rrq+iXxug55JngNUAZqwCnYVNUouTs5ri6LzHwvnDvrCYoDBBqi6eCPC
-----END PRIVATE KEY-----
`,
)

const LIMITS = { maxConnections: 1, maxHttpRequests: 1 }

describe('a server for clients', () => {
  it('TR3 has a bounded number of sockets, and waits for the head of a request for a bounded time', async () => {
    const server = createWebServer({ ...LIMITS, tlsCert: null, tlsKey: null }, (_request, response) =>
      response.end('hello'),
    )
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const sockets = Array.from({ length: 6 }, () => connect(port, '127.0.0.1').on('error', () => undefined))
    const closed = sockets.map((socket) => once(socket, 'close'))
    await Promise.race(closed)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(sockets.filter((socket) => socket.closed)).toHaveLength(2)
    expect(server.headersTimeout).toBeLessThanOrEqual(10_000)
    for (const socket of sockets) socket.destroy()
    server.close()
  })
})

describe('a server with a certificate', () => {
  it('speaks https and wss', async () => {
    const server = createWebServer({ ...LIMITS, tlsCert: cert, tlsKey: key }, (_request, response) =>
      response.end('hello'),
    )
    const webSockets = new WebSocketServer({ noServer: true })
    server.on('upgrade', (request: IncomingMessage, stream, head) =>
      webSockets.handleUpgrade(request, stream, head, (socket) => socket.send('welcome')),
    )
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const [response] = (await once(
      get({ port, host: '127.0.0.1', rejectUnauthorized: false }),
      'response',
    )) as [IncomingMessage]
    expect(response.statusCode).toBe(200)
    response.resume()
    const socket = new WebSocket(`wss://127.0.0.1:${port}`, { rejectUnauthorized: false })
    const [message] = (await once(socket, 'message')) as [Buffer]
    expect(message.toString()).toBe('welcome')
    socket.terminate()
    server.closeAllConnections()
    server.close()
  })

  it('says which file cannot be used, and why', () => {
    expect(() => readCertificate({ tlsCert: '/nowhere.pem', tlsKey: key })).toThrow(
      /certificate cannot be read \(TLS_CERT\).*nowhere/,
    )
    expect(() => readCertificate({ tlsCert: cert, tlsKey: '/nowhere.pem' })).toThrow(/TLS_KEY/)
    expect(() => readCertificate({ tlsCert: cert, tlsKey: otherKey })).toThrow(/cannot be used together/)
    expect(() => readCertificate({ tlsCert: key, tlsKey: key })).toThrow(/cannot be used together/)
  })

  it('is not there where none is given', () => {
    expect(readCertificate({ tlsCert: null, tlsKey: null })).toBeNull()
  })
})
