/** Many clients in a process of their own, so that what they cost does not delay the test that watches them. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Member } from './member.ts'
import type { Notes } from './member.ts'
import type { AcknowledgedUpdate, CrowdPlan, CrowdReport, FromCrowd, ToCrowd } from './messages.ts'

/** So many connect at once. */
const GROUP = 50
const SETTLE_MS = 15_000

const notes: Notes = { connectedAt: [], toldAt: [], closeCodes: new Map() }
const acknowledged: AcknowledgedUpdate[] = []
const failures: string[] = []
const members: Member[] = []
const writing: Promise<void>[] = []
const delays = monitorEventLoopDelay({ resolution: 5 })
let isWriting = true

process.on('disconnect', () => process.exit(1))
process.on('message', (message: ToCrowd) => {
  if (message.type === 'start') void start(message.plan)
  else void finish()
})

async function start({ url, clients, sessions, writers, pauseMs }: CrowdPlan): Promise<void> {
  for (let index = 0; index < clients; index++) {
    const session = `crowd-${index % sessions}`
    const member = new Member(url, session, notes)
    members.push(member)
    if (index < sessions)
      await member.client.createSession('document', { id: session, key: `create-${session}` })
    if (members.length % GROUP === 0 || index === clients - 1) await until(() => members.every(isLive))
  }
  for (const [index, member] of members.slice(0, writers).entries())
    writing.push(write(member, index, pauseMs, sessions))
  delays.enable()
  tell({ type: 'ready' })
}

async function write({ client }: Member, writer: number, pauseMs: number, sessions: number): Promise<void> {
  await sleep(Math.random() * pauseMs)
  for (let count = 0; isWriting; count++) {
    const session = `crowd-${(writer + count) % sessions}`
    const key = `w${writer}-${count}`
    const sentAt = Date.now()
    const begun = performance.now()
    try {
      const event = { type: 'MERGE', state: { [`w${writer}`]: count } }
      const { applied } = await client.updateSession(session, event, { key })
      const latencyMs = performance.now() - begun
      acknowledged.push({ session, key, version: Number(applied), sentAt, latencyMs })
      await sleep(Math.max(0, pauseMs - latencyMs))
    } catch (error) {
      failures.push(`${key}: ${String(error)}`)
    }
  }
}

async function finish(): Promise<void> {
  isWriting = false
  await Promise.all(writing)
  const newest = new Map<string, number>()
  for (const { session, version } of acknowledged)
    newest.set(session, Math.max(version, newest.get(session) ?? 1))
  const isBehind = (member: Member): boolean =>
    !member.isLive || member.version !== (newest.get(member.session) ?? 1)
  await until(() => !members.some(isBehind))
  const report: CrowdReport = {
    acknowledged,
    failures,
    connectedAt: notes.connectedAt,
    toldAt: notes.toldAt,
    withoutMs: members.map((member) => member.withoutMs),
    lateMs: { p99: delays.percentile(99) / 1e6, max: delays.max / 1e6 },
    closeCodes: Object.fromEntries(notes.closeCodes),
    behind: members
      .filter(isBehind)
      .map((member) => `${member.session}: ${member.version}, of ${newest.get(member.session) ?? 1}`),
  }
  process.send?.({ type: 'report', report } satisfies FromCrowd, () => process.exit(0))
}

function isLive(member: Member): boolean {
  return member.isLive
}

function tell(message: FromCrowd): void {
  process.send?.(message)
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + SETTLE_MS; !condition() && Date.now() < deadline;) await sleep(10)
}
