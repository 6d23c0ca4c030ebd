/**
 * Loaded into the workers of a server under test (`--import`): at SIGUSR2 it collects garbage and writes what memory the
 * process uses to `<TROUPE_BENCH_MEMORY>/<pid>.json`. An empty file says at the start that there is a worker.
 */
import cluster from 'node:cluster'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'

const folder = process.env['TROUPE_BENCH_MEMORY']
// Not in the primary, and not in threads that loaders run in.
if (folder !== undefined && cluster.isWorker && isMainThread) {
  const path = join(folder, `${process.pid}.json`)
  writeFileSync(path, '')
  process.on('SIGUSR2', () => {
    globalThis.gc()
    globalThis.gc()
    const { rss, heapUsed, external } = process.memoryUsage()
    writeFileSync(`${path}.new`, JSON.stringify({ rss, heapUsed, external }))
    renameSync(`${path}.new`, path)
  })
}
