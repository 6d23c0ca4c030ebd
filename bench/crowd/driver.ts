/** The process of a crowd: does what it is told by the bench that started it, and ends with it. */
import { Crowd } from './crowd.ts'
import type { CrowdCommand, CrowdMessage, UpdatesReport } from './plan.ts'

let crowd: Crowd | null = null

process.on('message', (command) => {
  run(command as CrowdCommand).then(
    (report) => tell({ kind: 'done', report }),
    (error: unknown) =>
      tell({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) }),
  )
})
process.on('disconnect', () => process.exit())

async function run(command: CrowdCommand): Promise<UpdatesReport | null> {
  if (command.kind === 'create') {
    crowd = new Crowd(command.plan)
    await crowd.create()
    return null
  }
  if (crowd === null) throw new Error('there is no crowd yet')
  switch (command.kind) {
    case 'connect':
      await crowd.connect()
      return null
    case 'connect slow':
      await crowd.connectSlow(command.count)
      return null
    case 'update':
      return crowd.update(command.plan, (kind) => tell({ kind }))
  }
}

function tell(message: CrowdMessage): void {
  process.send?.(message)
}
