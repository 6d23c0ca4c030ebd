/** `audit export`: all rows, or a session's, as a stream. */
import { exportRows } from '../../persistence/audit/export.ts'
import { EXIT_WHOLE, textOf, timeOf, Unusable } from './audit-command.ts'
import type { Asked, AuditCommand } from './audit-command.ts'
import { count, progress, write } from './audit-output.ts'

export const exportCommand: AuditCommand = {
  usage: 'export --format jsonl|csv [--since TIME] [--session ID]',
  options: { format: { type: 'string' }, since: { type: 'string' }, session: { type: 'string' } },
  positionals: { least: 0, most: 0, what: '' },
  run: runExport,
}

async function runExport({ database, values }: Asked): Promise<number> {
  const format = textOf(values, 'format') ?? 'jsonl'
  if (format !== 'jsonl' && format !== 'csv')
    throw new Unusable(`--format: "${format}" is not known; say jsonl or csv`)
  const question = { format, since: timeOf(values, 'since'), sessionId: textOf(values, 'session') } as const
  const tell = progress('rows so far')
  const rows = await exportRows(database, question, async (text, soFar) => {
    await write(text)
    tell(soFar)
  })
  process.stderr.write(`${count(rows, 'row')} exported\n`)
  return EXIT_WHOLE
}
