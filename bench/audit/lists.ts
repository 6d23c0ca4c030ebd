/** How long lists of sessions take, and which index each is read by. */
import type { Client } from 'pg'
import { listStatement } from '../../persistence/audit/session-list.ts'
import type { ListQuestion } from '../../persistence/audit/session-list.ts'

interface MeasuredList {
  readonly list: string
  readonly ms: number
  /** How each table is read, as PostgreSQL explains it. */
  readonly read: string
}

const nothing: ListQuestion = {
  machines: null,
  after: null,
  limit: 51,
  state: undefined,
  tag: undefined,
  status: undefined,
  since: undefined,
}

/** By `explain (analyze)`, the second time each: what it reads is in memory then. */
export async function measureLists(client: Client): Promise<MeasuredList[]> {
  await client.query('vacuum analyze troupe_sessions')
  const { rows: middle } = await client.query<{ epoch: string; id: string }>(
    `select epoch::text, session_id as id from troupe_sessions where ended_at is null order by epoch desc offset (
       select count(*) / 2 from troupe_sessions where ended_at is null) limit 1`,
  )
  const after = { epoch: middle[0]?.epoch ?? '', sessionId: middle[0]?.id ?? '' }
  const questions: readonly (readonly [string, ListQuestion])[] = [
    ['of all definitions', nothing],
    ['of one definition', { ...nothing, machines: ['order'] }],
    ['of one definition, from the middle on', { ...nothing, machines: ['order'], after }],
    ['in a state that one of two is in', { ...nothing, machines: ['order'], state: 'payment' }],
    ['in a state that nobody is in', { ...nothing, machines: ['order'], state: 'lost' }],
    ['with a tag that nobody has', { ...nothing, tag: 'urgent' }],
    ['changed in the last second', { ...nothing, machines: ['order'], since: Date.now() - 1000 }],
    ['that have expired', { ...nothing, machines: ['order'], status: 'expired' }],
  ]
  const measured: MeasuredList[] = []
  for (const [list, question] of questions) {
    const { text, values } = listStatement(question)
    const explain = () =>
      client.query<{ 'QUERY PLAN': string }>(`explain (analyze, timing off) ${text}`, values)
    await explain()
    const { rows } = await explain()
    const plan = rows.map((row) => row['QUERY PLAN'])
    const ms = Number(/Execution Time: ([\d.]+)/.exec(plan.join('\n'))?.[1])
    const read = plan.flatMap(
      (line) => /(\w+ ?\w* Scan)(?: using (\w+)| on (\w+))/.exec(line)?.slice(0, 1) ?? [],
    )
    measured.push({ list, ms, read: read.join('; ') })
    console.log(`${ms.toFixed(2).padStart(10)} ms  ${list}: ${read.join('; ')}`)
  }
  return measured
}
