/** `audit show`: what happened to a session, and how it stood at a version. */
import { withSnapshot } from '../../persistence/audit/snapshot.ts'
import { jsonOf, readTimeline } from '../../persistence/audit/timeline.ts'
import type { TimelineRow } from '../../persistence/audit/timeline.ts'
import { EXIT_CANNOT, EXIT_WHOLE, numberOf, textOf, Unusable } from './audit-command.ts'
import type { Asked, AuditCommand } from './audit-command.ts'
import { count, say } from './audit-output.ts'

export const showCommand: AuditCommand = {
  usage: 'show ID [--at VERSION] [--epoch EPOCH] [--json]',
  options: { at: { type: 'string' }, epoch: { type: 'string' }, json: { type: 'boolean' } },
  positionals: { least: 1, most: 1, what: 'the id of the session' },
  run: (asked) => (asked.values['at'] === undefined ? showTimeline(asked) : showState(asked)),
}

/** Longer events are cut: `--json` has them whole. */
const MAX_EVENT = 120

function epochOf(values: Asked['values']): string | undefined {
  const epoch = textOf(values, 'epoch')
  if (epoch !== undefined && !/^\d{1,18}$/.test(epoch)) throw new Unusable(`--epoch: "${epoch}" is no epoch`)
  return epoch
}

function showTimeline({ database, values, positionals: [sessionId = ''] }: Asked): Promise<number> {
  const epoch = epochOf(values)
  return withSnapshot(database, async (snapshot) => {
    let rows = 0
    let last: TimelineRow | null = null
    for await (const row of readTimeline(snapshot, { sessionId, epoch })) {
      rows++
      if (values['json'] === true) await say(JSON.stringify(jsonOf(row)))
      else {
        if (last?.epoch !== row.epoch)
          await say(
            `Epoch ${row.epoch}, ${row.machine ?? 'machine unknown'} version ${row.machineVersion ?? '?'}`,
          )
        await say(lineOf(row, last))
      }
      last = row
    }
    if (last === null) throw new Unusable(`the audit holds nothing of a session "${sessionId}"`)
    if (values['json'] !== true) await say(`${count(rows, 'transition')}.`)
    return EXIT_WHOLE
  })
}

function lineOf(row: TimelineRow, last: TimelineRow | null): string {
  const { version, time, kind, from, to, principal, node, key, sender, failed, redacted } = row
  const isFork = last !== null && last.epoch === row.epoch && last.version === version
  const what = row.forgottenAt !== null ? `(forgotten ${row.forgottenAt})` : cut(row.input ?? row.event ?? '')
  const way = to === null ? (from ?? '') : from === null ? to : from === to ? to : `${from} → ${to}`
  const who = [
    principal === null ? '' : `by ${principal}`,
    sender === null ? '' : `from ${sender}`,
    node === null ? '' : `on ${node}`,
    key === null ? '' : `key ${key}`,
    failed === null ? '' : `failed: ${failed}`,
    redacted === null ? '' : `redacted: ${namesIn(redacted)}`,
    isFork ? `fork: ${row.commitId}` : '',
  ].filter((text) => text !== '')
  return ['', String(version).padStart(5), time, kind.padEnd(9), what, way, who.join(', ')]
    .filter((text, index) => index === 0 || text !== '')
    .join('  ')
    .slice(2)
    .replace(/\p{Cc}/gu, escaped)
}

/** What a client has made up must not write lines of its own. */
function escaped(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function namesIn(json: string): string {
  return (JSON.parse(json) as string[]).join(', ')
}

function cut(text: string): string {
  return text.length <= MAX_EVENT ? text : `${text.slice(0, MAX_EVENT)}…`
}

/** The newest life that has the version, if none is named. Of a fork each branch is shown. */
function showState({ database, values, positionals: [sessionId = ''] }: Asked): Promise<number> {
  const version = numberOf(values, 'at')
  const epoch = epochOf(values)
  return withSnapshot(database, async (snapshot) => {
    let found: TimelineRow[] = []
    for await (const row of readTimeline(snapshot, { sessionId, epoch, version }))
      found = found[0]?.epoch === row.epoch ? [...found, row] : [row]
    if (found.length === 0)
      throw new Unusable(`the audit holds no version ${version} of a session "${sessionId}"`)
    for (const row of found) {
      if (values['json'] === true) await say(JSON.stringify(jsonOf(row)))
      else for (const line of stateLines(sessionId, row)) await say(line)
    }
    return found.some(({ forgottenAt }) => forgottenAt !== null) ? EXIT_CANNOT : EXIT_WHOLE
  })
}

function stateLines(sessionId: string, row: TimelineRow): string[] {
  const head = `${sessionId} at version ${row.version} of epoch ${row.epoch}, ${row.time}`
  if (row.forgottenAt !== null) return [head, `its contents were forgotten at ${row.forgottenAt}`]
  const facts: [string, string | null][] = [
    ['machine', row.machine === null ? null : `${row.machine} version ${row.machineVersion ?? '?'}`],
    ['commit', row.commitId],
    ['status', row.status ?? row.kind],
    ['value', row.to],
    ['context', row.context === null ? null : JSON.stringify(JSON.parse(row.context), null, 2)],
    ['tags', row.tags],
    ['output', row.output],
    ['redacted', row.redacted === null ? null : namesIn(row.redacted)],
  ]
  return [head, ...facts.flatMap(([name, text]) => (text === null ? [] : [`${name.padEnd(8)} ${text}`]))]
}
