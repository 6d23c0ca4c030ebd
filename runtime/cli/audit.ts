/** `npm run audit -- <command>`: proves the audit, and asks it. */
import { runAudit } from './audit-commands.ts'

// It is thrown by the next write.
process.stdout.on('error', () => undefined)
process.exitCode = await runAudit(process.argv.slice(2))
