/** The commands that prove the audit and ask it. */
import { messageOf } from '../../actors/errors.ts'
import { EXIT_CANNOT, parseCommand, Unusable } from './audit-command.ts'
import type { AuditCommand } from './audit-command.ts'
import { findDatabase } from './audit-database.ts'
import { isClosedPipe } from './audit-output.ts'
import { verifyCommand } from './audit-verify.ts'
import { showCommand } from './audit-show.ts'
import { statsCommand } from './audit-stats.ts'
import { exportCommand } from './audit-export.ts'
import { forgetCommand } from './audit-forget.ts'
import { rejectsCommand } from './audit-rejects.ts'
import { replayCommand } from './audit-replay.ts'
import { jobsCommand } from './audit-jobs.ts'

const commands = new Map<string, AuditCommand>([
  ['verify', verifyCommand],
  ['show', showCommand],
  ['stats', statsCommand],
  ['export', exportCommand],
  ['forget', forgetCommand],
  ['rejects', rejectsCommand],
  ['replay', replayCommand],
  ['jobs', jobsCommand],
])

const USAGE = `Usage: npm run audit -- <command> [options]

${[...commands.values()].map(({ usage }) => `  ${usage}`).join('\n')}

Asks the PostgreSQL of DATABASE_URL (--database-url), or else that of npm start (DATA_DIR, --data-dir). Ends with 0, with 1 where
something was found that should not be, and with 2 where it could not be asked. docs/guide/audit.md tells more.
`

async function main(args: readonly string[]): Promise<number> {
  const [name = '', ...others] = args
  const command = commands.get(name)
  if (name === '--help' || name === '-h') {
    process.stdout.write(USAGE)
    return 0
  }
  if (command === undefined) {
    const known = [...commands.keys()].join(', ')
    throw new Unusable(
      name === '' ? `say what to do, one of ${known}` : `there is no command "${name}"; there are ${known}`,
    )
  }
  const parsed = parseCommand(command, others)
  if (parsed.isHelp) {
    process.stdout.write(`Usage: npm run audit -- ${command.usage}\n`)
    return 0
  }
  const found = await findDatabase(parsed.options)
  try {
    return await command.run({ ...parsed, ...found })
  } finally {
    await found.stop()
  }
}

/**
 * Carries out one command line. What cannot be done is told in one line on standard error.
 * @returns the exit code
 */
export async function runAudit(args: readonly string[]): Promise<number> {
  try {
    return await main(args)
  } catch (error) {
    // Who reads may have had enough, as `head` does.
    if (isClosedPipe(error)) return 0
    process.stderr.write(`troupe: ${messageOf(error).split('\n').join('; ')}\n`)
    return EXIT_CANNOT
  }
}
