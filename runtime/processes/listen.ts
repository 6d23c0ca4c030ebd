/** Listening on a port, with one clear line where that cannot be. */
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { messageOf } from '../../actors/errors.ts'

/** @throws Error that says what to do */
export function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new Error(listenProblem(error, port, host))),
    )
    server.listen(port, host, resolve)
  })
}

function listenProblem(error: NodeJS.ErrnoException, port: number, host: string): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is in use: stop what listens there, or choose another with PORT`
    case 'EACCES':
      return `no right to listen on port ${port}: choose one above 1023 with PORT`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine: choose another with HOST`
    default:
      return `cannot listen on ${host}:${port}: ${messageOf(error)}`
  }
}

/** Whether the port can be listened on. Somebody else may take it afterwards. @throws Error that says what to do */
export async function checkListen(port: number, host: string): Promise<void> {
  const probe = createServer()
  await listen(probe, port, host)
  await new Promise((resolve) => probe.close(resolve))
}
