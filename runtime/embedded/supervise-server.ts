import type { EmbeddedServer } from './embedded-server.ts'
import { isAlive } from './live-process.ts'

const CHECK_INTERVAL_MS = 1000
const LONGEST_PAUSE_MS = 30_000

/**
 * Starts a server again when its process has died (out of memory, `kill -9`), with growing pauses while that fails.
 * It may be an adopted process and no child of ours, so it is looked at rather than waited for.
 *
 * @returns stops the server for good.
 */
export function superviseServer(
  name: string,
  first: EmbeddedServer,
  start: () => Promise<EmbeddedServer>,
  log: (line: string) => void,
): { stop(): Promise<void> } {
  let server = first
  let stopping = false
  let failures = 0
  let underWay: Promise<void> = Promise.resolve()
  let timer = setTimeout(check, CHECK_INTERVAL_MS).unref()

  function check(): void {
    if (stopping) return
    if (isAlive(server.process)) {
      failures = 0
      next(CHECK_INTERVAL_MS)
      return
    }
    log(`${name} has died: starting it again`)
    underWay = restart()
  }

  async function restart(): Promise<void> {
    try {
      const restarted = await start()
      if (restarted.url !== server.url) {
        log(`${name} could not have its port again: restart Troupe to use it (somebody else took the port)`)
      }
      server = restarted
      next(CHECK_INTERVAL_MS)
    } catch (error) {
      failures++
      log((error as Error).message)
      next(Math.min(LONGEST_PAUSE_MS, CHECK_INTERVAL_MS * 2 ** failures))
    }
  }

  function next(ms: number): void {
    if (!stopping) timer = setTimeout(check, ms).unref()
  }

  return {
    async stop() {
      stopping = true
      clearTimeout(timer)
      await underWay
      await server.stop()
    },
  }
}
