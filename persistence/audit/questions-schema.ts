/**
 * Step 2 of the schema: what people ask of sessions, as functions that take the time since when, and as views over all that is
 * kept. docs/guide/audit.md has an example of each. Functions are plain SQL, so that PostgreSQL looks into no older partitions.
 */

const SINCE = `day >= (since at time zone 'UTC')::date and committed_at >= since`

export const questionsSchema = `
  -- Since when the contents of a row are blank; who sent an event of another session; what the machine threw at an event.
  alter table troupe_transitions add column if not exists forgotten_at timestamptz;
  alter table troupe_transitions add column if not exists sender text;
  alter table troupe_transitions add column if not exists failed text;
  alter table troupe_sessions add column if not exists forgotten_at timestamptz;
  alter table troupe_rejects add column if not exists forgotten_at timestamptz;

  -- Transitions of each machine and event, by the minute.
  create or replace function troupe_activity_since(since timestamptz)
  returns table (day date, minute timestamptz, machine text, kind text, event text, transitions bigint)
  language sql stable as $$
    select day, date_trunc('minute', committed_at), machine, kind, event_type, count(*)
      from troupe_transitions
     where ${SINCE}
     group by 1, 2, 3, 4, 5
  $$;

  -- How long each session was in each of its states. left_at is null for one that is there still. Transitions that stay
  -- in the state do not begin another stay. Forks are walked in the order of their commit ids.
  create or replace function troupe_stays_since(since timestamptz)
  returns table (session_id text, epoch bigint, version bigint, machine text, machine_version integer, state text,
                 status text, entered_at timestamptz, left_at timestamptz)
  language sql stable as $$
    select session_id, epoch, version, machine, machine_version, to_value #>> '{}', status, committed_at, next_at
      from (select *, lead(committed_at) over (partition by session_id order by epoch, version, commit_id) as next_at
              from (select session_id, epoch, version, commit_id, machine, machine_version, to_value, status, kind, committed_at,
                           lag(to_value) over (partition by session_id order by epoch, version, commit_id) as before
                      from troupe_transitions
                     where ${SINCE} and forgotten_at is null) as step
             where to_value is distinct from before or kind = 'created') as stay
     where to_value is not null
  $$;

  -- Time spent in each state by those who have left it, and how many are there still. States in which a machine has ended
  -- are not left but expire: they are no part of this.
  create or replace function troupe_time_in_states_since(since timestamptz)
  returns table (machine text, state text, stays bigint, still_there bigint, mean_s double precision,
                 p50_s double precision, p95_s double precision)
  language sql stable as $$
    select machine, state, count(left_at), count(*) - count(left_at), avg(s),
           percentile_cont(0.5) within group (order by s), percentile_cont(0.95) within group (order by s)
      from (select machine, state, left_at, extract(epoch from left_at - entered_at)::double precision as s
              from troupe_stays_since(since)
             where status = 'active') as stay
     group by 1, 2
  $$;

  -- How far each session came through a list of states, in this order, whatever lay between.
  create or replace function troupe_funnel_step(depth integer, state text, states text[])
  returns integer language sql immutable as $$
    select case when states[depth + 1] = state then depth + 1 else depth end
  $$;
  create or replace aggregate troupe_funnel_depth(text, text[]) (sfunc = troupe_funnel_step, stype = integer, initcond = '0');

  -- How many sessions of a machine reached the first of these states, then the second, and so on.
  create or replace function troupe_funnel(of_machine text, states text[], since timestamptz default '-infinity')
  returns table (step integer, state text, sessions bigint)
  language sql stable as $$
    with reached as materialized (
      select troupe_funnel_depth(to_value #>> '{}', states order by epoch, version, commit_id) as depth
        from troupe_transitions
       where machine = of_machine and to_value #>> '{}' = any (states) and ${SINCE}
       group by session_id
    ), counted as materialized (
      select depth, count(*) as sessions from reached group by depth
    )
    select place::integer, named, coalesce((select sum(sessions)::bigint from counted where depth >= place), 0)
      from unnest(states) with ordinality as wanted (named, place)
     order by place
  $$;

  -- Sessions with at least one transition, by the minute, and how many began and ended in it.
  create or replace function troupe_active_sessions_since(since timestamptz)
  returns table (day date, minute timestamptz, machine text, active bigint, created bigint, ended bigint)
  language sql stable as $$
    select day, date_trunc('minute', committed_at), machine, count(distinct session_id),
           count(*) filter (where kind = 'created'), count(*) filter (where kind in ('deleted', 'expired'))
      from troupe_transitions
     where ${SINCE}
     group by 1, 2, 3
  $$;

  create or replace view troupe_activity as select * from troupe_activity_since('-infinity');
  create or replace view troupe_stays as select * from troupe_stays_since('-infinity');
  create or replace view troupe_time_in_states as select * from troupe_time_in_states_since('-infinity');
  create or replace view troupe_active_sessions as select * from troupe_active_sessions_since('-infinity');

  -- Where sessions end: in which state, and whether the machine came to its end or they were deleted or expired.
  create or replace view troupe_ends as
    select machine, status as ending, value #>> '{}' as state, count(*) as sessions, max(updated_at) as last_at
      from troupe_sessions
     where status <> 'active'
     group by 1, 2, 3;

  -- Sessions that go on, with the state that they are in and how long nothing has moved them.
  create or replace view troupe_idle as
    select session_id, machine, machine_version, value #>> '{}' as state, epoch, version, updated_at, now() - updated_at as idle
      from troupe_sessions
     where status = 'active';

  -- What did not go as it was meant: events of timers, promises and other sessions that the machine threw at (they are
  -- transitions), and records that could not be stored as one (machine and event are not known of them).
  create or replace view troupe_failures as
    select 'failed' as kind, machine, event_type as event, failed as reason, count(*) as times, max(committed_at) as last_at
      from troupe_transitions
     where failed is not null
     group by 2, 3, 4
    union all
    select 'rejected', null, null, reason, count(*), max(rejected_at)
      from troupe_rejects
     group by 4;
`
