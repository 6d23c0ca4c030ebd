/**
 * An entry of a mail stream, as `commit.lua` writes it: `h` holds sender, epoch, version, commit id, index within the transition,
 * receiver and hops, `e` the event as JSON text.
 */
import type { MailEntry } from '../actors/mail.ts'
import type { SessionId } from '../actors/session.ts'

export function parseMailEntry(entryId: string, fields: readonly string[]): MailEntry {
  const [, head = '', , event = ''] = fields
  const [from = '', epoch = '', version, commitId = '', index, to = '', hops] = head.split(' ')
  return {
    entryId,
    from: from as SessionId,
    epoch,
    version: Number(version),
    commitId,
    index: Number(index),
    to: to as SessionId,
    hops: Number(hops),
    event,
  }
}
