/** The server that clients connect to: plain, or with TLS where a certificate is given. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Server as TlsServer } from 'node:https'
import { createSecureContext } from 'node:tls'
import { messageOf } from '../../actors/errors.ts'
import type { Options } from '../options.ts'

type TlsFiles = Pick<Options, 'tlsCert' | 'tlsKey'>

/** Who has not sent the head of its request by then is answered with 408. */
const HEAD_WITHIN_MS = 10_000

/** The files are read here, once: workers that replace others read them anew. @throws Error that says what to do */
export function createWebServer(
  options: TlsFiles & Pick<Options, 'maxConnections' | 'maxHttpRequests'>,
  listener: RequestListener,
): Server | TlsServer {
  const pair = readCertificate(options)
  const limits = { headersTimeout: HEAD_WITHIN_MS, connectionsCheckingInterval: HEAD_WITHIN_MS / 5 }
  const server =
    pair === null ? createServer(limits, listener) : createTlsServer({ ...pair, ...limits }, listener)
  // Sockets that ask nothing cost memory too. Refusals within a protocol come first: this is only for those that speak none.
  server.maxConnections = 2 * (options.maxConnections + options.maxHttpRequests)
  return server
}

/** @returns `null`: none is given. @throws Error that says what is wrong with the files */
export function readCertificate({ tlsCert, tlsKey }: TlsFiles): { cert: Buffer; key: Buffer } | null {
  if (tlsCert === null || tlsKey === null) return null
  const cert = readPem(tlsCert, 'the certificate', 'TLS_CERT')
  const key = readPem(tlsKey, 'the private key', 'TLS_KEY')
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    throw new Error(
      `the certificate ${tlsCert} (TLS_CERT) and the key ${tlsKey} (TLS_KEY) cannot be used together: ${messageOf(error)}`,
      { cause: error },
    )
  }
  return { cert, key }
}

function readPem(path: string, what: string, option: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new Error(`${what} cannot be read (${option}): ${messageOf(error)}`, { cause: error })
  }
}
