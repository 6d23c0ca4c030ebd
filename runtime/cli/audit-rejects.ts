/** `audit rejects`: records that could not be stored, and another try. */
import { listRejects, replayReject } from '../../persistence/audit/rejects.ts'
import type { KeptReject } from '../../persistence/audit/rejects.ts'
import { EXIT_FINDINGS, EXIT_WHOLE, textOf } from './audit-command.ts'
import type { Asked, AuditCommand } from './audit-command.ts'
import { count, say } from './audit-output.ts'

export const rejectsCommand: AuditCommand = {
  usage: 'rejects [--session ID] [--replay] [--json]',
  options: { session: { type: 'string' }, replay: { type: 'boolean' }, json: { type: 'boolean' } },
  positionals: { least: 0, most: 0, what: '' },
  run: ({ database, values }) =>
    values['replay'] === true ? replay(database, values) : list(database, values),
}

async function list(database: Asked['database'], values: Asked['values']): Promise<number> {
  let sum = 0
  let forgotten = 0
  for await (const rejects of listRejects(database, textOf(values, 'session'))) {
    sum += rejects.filter(({ isForgotten }) => !isForgotten).length
    forgotten += rejects.filter(({ isForgotten }) => isForgotten).length
    for (const reject of rejects) await say(values['json'] === true ? JSON.stringify(reject) : lineOf(reject))
  }
  if (values['json'] !== true)
    await say(
      sum === 0
        ? 'Every record could be stored.'
        : `${count(sum, 'record')} could not be stored. audit rejects --replay tries them again.`,
    )
  if (values['json'] !== true && forgotten > 0)
    await say(
      `${count(forgotten, 'record')} could not be stored, and hold nothing any more: they were forgotten.`,
    )
  return sum === 0 ? EXIT_WHOLE : EXIT_FINDINGS
}

async function replay(database: Asked['database'], values: Asked['values']): Promise<number> {
  const sums = { stored: 0, refused: 0, forgotten: 0 }
  for await (const rejects of listRejects(database, textOf(values, 'session')))
    for (const reject of rejects) {
      const outcome = await replayReject(database, reject)
      sums[outcome.kind]++
      if (values['json'] === true) await say(JSON.stringify({ ...reject, outcome }))
      else if (outcome.kind === 'refused') await say(lineOf({ ...reject, reason: outcome.reason }))
    }
  if (values['json'] !== true)
    await say(
      `${count(sums.stored, 'record')} stored, ${sums.refused} refused again, ${sums.forgotten} forgotten.`,
    )
  return sums.refused === 0 ? EXIT_WHOLE : EXIT_FINDINGS
}

function lineOf({ partition, streamId, sessionId, reason, rejectedAt, bytes }: KeptReject): string {
  const time = rejectedAt.toISOString()
  return `${time}  ${sessionId ?? '(no session)'}  outbox ${partition}/${streamId}, ${count(bytes, 'byte')}: ${reason}`
}
