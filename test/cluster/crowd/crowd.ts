/** A crowd of clients, as a test sees it. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { CrowdPlan, CrowdReport, FromCrowd, ToCrowd } from './messages.ts'

export class Crowd {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** Resolves when all are connected and subscribed. */
  static async start(plan: CrowdPlan): Promise<Crowd> {
    const child = fork(fileURLToPath(new URL('./crowd-process.ts', import.meta.url)), {
      execArgv: ['--import', import.meta.resolve('tsx')],
    })
    const crowd = new Crowd(child)
    crowd.#tell({ type: 'start', plan })
    await crowd.#hear('ready')
    return crowd
  }

  /** Ends it. @returns what it has seen */
  async finish(): Promise<CrowdReport> {
    this.#tell({ type: 'finish' })
    const { report } = await this.#hear('report')
    return report
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }

  #tell(message: ToCrowd): void {
    this.#child.send(message)
  }

  async #hear<Type extends FromCrowd['type']>(type: Type): Promise<Extract<FromCrowd, { type: Type }>> {
    const ended = once(this.#child, 'exit').then(() => {
      throw new Error('the crowd has ended')
    })
    for (;;) {
      const [message] = (await Promise.race([once(this.#child, 'message'), ended])) as [FromCrowd]
      if (message.type === type) return message as Extract<FromCrowd, { type: Type }>
    }
  }
}
