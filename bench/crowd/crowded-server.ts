/** A fresh server with a crowd of its own. */
import type { BenchRedis } from '../support/bench-redis.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { CrowdProcess } from './launch.ts'
import type { CrowdPlan } from './plan.ts'
import { startCrowdServer } from './variants.ts'
import type { CrowdServerOptions } from './variants.ts'

export interface CrowdedServer {
  readonly server: ServerProcess
  /** Its sessions are created; it is not connected yet. */
  readonly crowd: CrowdProcess
  readonly stop: () => Promise<void>
}

type Options = Omit<CrowdServerOptions, 'keyPrefix'> &
  Pick<CrowdPlan, 'subscribers' | 'sessions'> & { readonly redis: BenchRedis }

export async function startCrowd(options: Options): Promise<CrowdedServer> {
  const { subscribers, sessions, redis } = options
  const run = `${options.variant}-${Date.now().toString(36)}`
  const keyPrefix = `troupe-bench-${run}`
  const server = await startCrowdServer({ ...options, keyPrefix })
  const crowd = await CrowdProcess.start({ url: server.url, run, subscribers, sessions }).catch(
    async (error: unknown) => {
      await server.stop()
      throw error
    },
  )
  const stop = async (): Promise<void> => {
    await crowd.stop()
    await server.stop()
    await redis.clear(keyPrefix)
  }
  return { server, crowd, stop }
}
