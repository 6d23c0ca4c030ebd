/** The servers that are compared. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { startServer } from '../support/server-process.ts'
import type { ServerProcess } from '../support/server-process.ts'

export const variants = ['baseline', 'troupe', 'troupe + audit'] as const
export type Variant = (typeof variants)[number]

export interface Backends {
  readonly redisUrl: string
  readonly databaseUrl: string
}

/** Starts a variant with keys of its own; no variant ever meets the data of another. */
export async function startVariant(
  variant: Variant,
  prefix: string,
  workers: number,
  { redisUrl, databaseUrl }: Backends,
): Promise<ServerProcess> {
  const common = [
    `--port=${await findFreePort()}`,
    `--workers=${workers}`,
    `--redis-url=${redisUrl}`,
    `--key-prefix=${prefix}`,
  ]
  if (variant === 'baseline') return startServer(['--import', 'tsx', 'bench/baseline/server.ts', ...common])
  return startServer([
    'dist/runtime/cli/main.js',
    'bench/machines/basket.ts',
    ...common,
    '--host=127.0.0.1',
    `--database-url=${databaseUrl}`,
    `--audit=${variant === 'troupe + audit'}`,
    '--log-level=warn',
  ])
}

/** A port that was free just now; all workers of a server share it. */
async function findFreePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
