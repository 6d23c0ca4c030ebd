/** The questions behind `audit stats`: each is one statement over the functions and views of the schema. */
import type { Snapshot } from './snapshot.ts'

export interface StatsQuestion {
  /** Only sessions of this machine; all by default. */
  readonly machine?: string | undefined
  /** Only transitions since then; all that are kept by default. Ends and idle sessions: those with their last one since then. */
  readonly since?: Date | undefined
  readonly per: 'minute' | 'hour' | 'day'
  /** Active sessions that nothing has moved for so long are stuck, in ms. */
  readonly stuckAfterMs: number
  /** Rows of each answer at most. */
  readonly limit: number
}

/** Numbers, texts and times as PostgreSQL says them; `null` where something is not known. */
export type Answer = Readonly<Record<string, string | number | null>>

interface Question {
  readonly title: string
  readonly text: string
  readonly values: (question: StatsQuestion) => readonly unknown[]
}

const SINCE = `coalesce($1::timestamptz, '-infinity')`
const MACHINE = `($2::text is null or machine = $2)`
const UTC = `at time zone 'UTC'`
const minuteOf = (time: string): string => `to_char(${time} ${UTC}, 'YYYY-MM-DD"T"HH24:MI"Z"')`
const common = ({ since, machine, limit }: StatsQuestion): unknown[] => [
  since ?? null,
  machine ?? null,
  limit,
]

const questions = {
  activity: {
    title: 'Transitions of each machine and event (newest first)',
    text: `
      select ${minuteOf(`date_trunc($4, minute, 'UTC')`)} as time, machine, coalesce(event, '(' || kind || ')') as event,
             sum(transitions)::double precision as transitions
        from troupe_activity_since(${SINCE}) where ${MACHINE}
       group by date_trunc($4, minute, 'UTC'), 2, 3 order by date_trunc($4, minute, 'UTC') desc, 4 desc, 2, 3 limit $3`,
    values: (question) => [...common(question), question.per],
  },
  active: {
    title: 'Sessions active over time (newest first)',
    text: `
      select ${minuteOf(`date_trunc($4, committed_at, 'UTC')`)} as time, machine,
             count(distinct session_id)::double precision as active,
             (count(*) filter (where kind = 'created'))::double precision as created,
             (count(*) filter (where kind in ('deleted', 'expired')))::double precision as ended
        from troupe_transitions
       where day >= (${SINCE} ${UTC})::date and committed_at >= ${SINCE} and ${MACHINE}
       group by date_trunc($4, committed_at, 'UTC'), 2 order by date_trunc($4, committed_at, 'UTC') desc, 2 limit $3`,
    values: (question) => [...common(question), question.per],
  },
  times: {
    title: 'Time in each state, in seconds',
    text: `
      select machine, state, stays::double precision, still_there::double precision, round(mean_s::numeric, 3)::double precision as mean_s,
             round(p50_s::numeric, 3)::double precision as p50_s, round(p95_s::numeric, 3)::double precision as p95_s
        from troupe_time_in_states_since(${SINCE}) where ${MACHINE}
       order by machine, stays desc, state limit $3`,
    values: common,
  },
  ends: {
    title: 'Where sessions end',
    text: `
      select machine, status as ending, value #>> '{}' as state, count(*)::double precision as sessions
        from troupe_sessions
       where status <> 'active' and updated_at >= ${SINCE} and ${MACHINE}
       group by 1, 2, 3 order by 4 desc, 1, 2, 3 limit $3`,
    values: common,
  },
  stuck: {
    title: 'Where sessions are stuck',
    text: `
      select machine, state, count(*)::double precision as active,
             (count(*) filter (where idle > $4 * interval '1 ms'))::double precision as stuck,
             round(extract(epoch from percentile_cont(0.5) within group (order by idle)))::double precision as p50_idle_s,
             round(extract(epoch from max(idle)))::double precision as longest_idle_s,
             (array_agg(session_id order by idle desc))[1] as longest
        from troupe_idle where updated_at >= ${SINCE} and ${MACHINE}
       group by 1, 2 order by 4 desc, 3 desc, 1, 2 limit $3`,
    values: (question) => [...common(question), question.stuckAfterMs],
  },
  failures: {
    title:
      'What failed or could not be stored (that a client was refused, or its event changed nothing, is not recorded)',
    text: `
      select kind, machine, event, reason, times::double precision, ${minuteOf('last_at')} as last
        from troupe_failures where last_at >= ${SINCE} and (machine is null or ${MACHINE})
       order by times desc, reason limit $3`,
    values: common,
  },
} satisfies Record<string, Question>

export type QuestionName = keyof typeof questions

export const questionNames = Object.keys(questions) as QuestionName[]

export function titleOf(name: QuestionName): string {
  return questions[name].title
}

export function ask(snapshot: Snapshot, name: QuestionName, about: StatsQuestion): Promise<Answer[]> {
  const { text, values } = questions[name]
  return snapshot.query<Answer>(text, values(about))
}

/**
 * How many sessions of a machine reached the first of these states, then the second, whatever lay between.
 * @param states names, or JSON texts of nested states as in a view's `value`
 */
export async function askFunnel(
  snapshot: Snapshot,
  machine: string,
  states: readonly string[],
  since?: Date,
): Promise<{ step: number; state: string; sessions: number }[]> {
  const values = states.map((state) => (state.startsWith('{') ? state : JSON.stringify(state)))
  return snapshot.query(
    `select step, state, sessions::double precision from troupe_funnel($1,
       (select array_agg(value::jsonb #>> '{}' order by place) from unnest($2::text[]) with ordinality as given (value, place)),
       ${SINCE.replace('$1', '$3')}) order by step`,
    [machine, values, since ?? null],
  )
}
