/** Ways to build the audit's pipeline so that it loses something, put together from what happens at its points. */
import { PARTITIONS } from '../../actors/partitions.ts'
import type { Keys } from '../../persistence/keys.ts'
import type { Pipeline } from './audited-cluster.ts'

/** What happens at a point of the pipeline, with a connection to Redis and the names of all outboxes. */
function at(point: string, body: string): Pipeline {
  return (redisUrl: string, keys: Keys) => `
    import { Redis } from '${import.meta.resolve('ioredis')}'
    const redis = new Redis('${redisUrl}')
    const outboxes = ${JSON.stringify(Array.from({ length: PARTITIONS }, (_, each) => keys.outbox(each)))}
    export async function faultPoint(point) {
      if (point !== '${point}') return
      ${body}
    }`
}

export const brokenPipelines: readonly (readonly [string, Pipeline])[] = [
  [
    'entries are deleted before they are inserted, and a thread ends in between',
    at(
      'before-insert',
      `if ((await redis.incr(outboxes[0] + ':deaths')) > 3) return
      for (const outbox of outboxes) {
        const entries = await redis.xrange(outbox, '-', '+', 'COUNT', 100)
        if (entries.length > 0) await redis.xdel(outbox, ...entries.map(([id]) => id))
      }
      process.exit(8)`,
    ),
  ],
  [
    'outboxes are trimmed by length',
    at('after-delete', `for (const outbox of outboxes) await redis.xtrim(outbox, 'MAXLEN', 1)`),
  ],
]
