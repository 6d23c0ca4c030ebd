/** Runs a crowd in a process of its own. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { CrowdCommand, CrowdMessage, CrowdPlan, UpdatesPlan, UpdatesReport } from './plan.ts'

export class CrowdProcess {
  readonly #child: ChildProcess

  /** With its sessions created. @throws Error if the server refuses one */
  static async start(plan: CrowdPlan): Promise<CrowdProcess> {
    const crowd = new CrowdProcess()
    await crowd.#command({ kind: 'create', plan })
    return crowd
  }

  private constructor() {
    this.#child = fork(fileURLToPath(new URL('./driver.ts', import.meta.url)), {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
  }

  async connect(): Promise<void> {
    await this.#command({ kind: 'connect' })
  }

  /** Adds subscribers of the first session that never read. */
  async connectSlow(count: number): Promise<void> {
    await this.#command({ kind: 'connect slow', count })
  }

  /** @param observe told when the measured time begins and ends */
  async update(
    plan: UpdatesPlan,
    observe: (event: 'measuring' | 'measured') => void = () => undefined,
  ): Promise<UpdatesReport> {
    const report = await this.#command({ kind: 'update', plan }, observe)
    if (report === null) throw new Error('the crowd did not report')
    return report
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.disconnect()
    await once(this.#child, 'exit')
  }

  #command(
    command: CrowdCommand,
    observe: (event: 'measuring' | 'measured') => void = () => undefined,
  ): Promise<UpdatesReport | null> {
    const child = this.#child
    return new Promise((resolve, reject) => {
      const over = (settle: () => void): void => {
        child.off('message', hear)
        child.off('exit', exited)
        settle()
      }
      const hear = (raw: unknown): void => {
        const message = raw as CrowdMessage
        if (message.kind === 'done') over(() => resolve(message.report))
        else if (message.kind === 'failed')
          over(() => reject(new Error(`the crowd failed: ${message.reason}`)))
        else observe(message.kind)
      }
      const exited = (code: number | null): void =>
        over(() => reject(new Error(`the process of the crowd ended with code ${code}`)))
      child.on('message', hear)
      child.on('exit', exited)
      child.send(command)
    })
  }
}
