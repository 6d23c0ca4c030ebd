/** Runs the driver in a process of its own. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { stopAtEnd } from '../support/ending.ts'
import type { DriverMessage } from './driver.ts'
import type { LoadConfig } from './plan.ts'
import type { LoadReport } from './report.ts'

/**
 * @param observe told when the measured time begins and ends
 * @throws Error if the run failed
 */
export async function runDriver(
  config: LoadConfig,
  observe: (event: 'measuring' | 'measured') => void = () => undefined,
): Promise<LoadReport> {
  const child = fork(fileURLToPath(new URL('./driver.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const stopped = stopAtEnd(async () => void child.kill('SIGKILL'))
  child.once('exit', stopped)
  return new Promise((resolve, reject) => {
    child.on('message', (message: DriverMessage) => {
      switch (message.kind) {
        case 'measuring':
        case 'measured':
          return observe(message.kind)
        case 'report':
          return resolve(message.report)
        case 'failed':
          return reject(new Error(`the load driver failed: ${message.reason}`))
      }
    })
    child.once('error', reject)
    child.once('exit', (code) =>
      reject(new Error(`the load driver ended with code ${code} before its report`)),
    )
    child.send(config)
  })
}
