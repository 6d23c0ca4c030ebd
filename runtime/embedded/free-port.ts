import { createServer } from 'node:net'

/**
 * A TCP port of the loopback interface that nobody listens on: `preferred` if it is free, else any.
 * Somebody else may take it before it is used; whoever uses it tries again then.
 */
export async function freePort(preferred: number | null): Promise<number> {
  if (preferred !== null) {
    const port = await tryPort(preferred)
    if (port !== null) return port
  }
  const port = await tryPort(0)
  if (port === null) throw new Error('no TCP port of 127.0.0.1 is free')
  return port
}

function tryPort(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => {
      resolve(null)
    })
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : null)
      })
    })
  })
}
