/** `audit forget`: blanks what a session's rows hold. */
import { forget } from '../../persistence/audit/forget.ts'
import { EXIT_FINDINGS, EXIT_WHOLE, Unusable } from './audit-command.ts'
import type { Asked, AuditCommand } from './audit-command.ts'
import { count, say } from './audit-output.ts'

export const forgetCommand: AuditCommand = {
  usage: 'forget ID [--yes] [--json]',
  options: { yes: { type: 'boolean' }, json: { type: 'boolean' } },
  positionals: { least: 1, most: 1, what: 'the id of the session' },
  run: runForget,
}

/** @returns 1 where the session goes on: then it is not over with this. */
async function runForget({ database, values, positionals: [sessionId = ''] }: Asked): Promise<number> {
  if (values['yes'] !== true && process.stdin.isTTY)
    throw new Unusable(`what "${sessionId}" held cannot be brought back: say --yes if it is to be forgotten`)
  const forgotten = await forget(database, sessionId)
  if (!forgotten.isKnown) throw new Unusable(`the audit holds nothing of a session "${sessionId}"`)
  const { transitions, rejects, hadSession, goesOn } = forgotten
  if (values['json'] === true) await say(JSON.stringify({ sessionId, ...forgotten }))
  else {
    const isNew = transitions + rejects > 0 || hadSession
    await say(
      isNew
        ? `Forgotten: the contents of ${count(transitions, 'row')} and ${count(rejects, 'reject')}. Ids, versions and commit ids are kept.`
        : 'It was forgotten before: nothing has changed.',
    )
    if (goesOn)
      await say(
        'The session has not ended: delete it, and forget it again, or its next rows hold their contents.',
      )
  }
  return goesOn ? EXIT_FINDINGS : EXIT_WHOLE
}
