/** The servers that a crowd is connected to. */
import { freePort } from '../../runtime/embedded/free-port.ts'
import { startServer } from '../support/server-process.ts'
import type { ServerProcess } from '../support/server-process.ts'

export const crowdVariants = ['baseline', 'troupe'] as const
export type CrowdVariant = (typeof crowdVariants)[number]

export interface CrowdServerOptions {
  readonly variant: CrowdVariant
  readonly workers: number
  readonly keyPrefix: string
  readonly redisUrl: string
  readonly databaseUrl: string
  /** Further arguments of node, which its workers get too. */
  readonly nodeArgs?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export async function startCrowdServer(options: CrowdServerOptions): Promise<ServerProcess> {
  const { variant, workers, keyPrefix, redisUrl, databaseUrl, nodeArgs = [], env = {} } = options
  const common = [
    `--port=${await freePort(null)}`,
    `--workers=${workers}`,
    `--redis-url=${redisUrl}`,
    `--key-prefix=${keyPrefix}`,
  ]
  if (variant === 'baseline')
    return startServer([...nodeArgs, '--import', 'tsx', 'bench/baseline/fan-out/server.ts', ...common], env)
  return startServer(
    [
      ...nodeArgs,
      'dist/runtime/cli/main.js',
      'bench/machines/basket.ts',
      ...common,
      '--host=127.0.0.1',
      `--database-url=${databaseUrl}`,
      '--audit=false',
      '--log-level=warn',
    ],
    env,
  )
}
