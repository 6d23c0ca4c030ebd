/**
 * Step 4 of the schema: lists of sessions. What is ordered by never changes while a session lives, so that its updates stay in
 * their place; sessions that are no more, which gather for ever, are kept out of the indexes of those that live.
 */
export const listingSchema = `
  -- Paths of all states of a value: {"a": {"b": "c"}, "d": "e"} is in a, a.b, a.b.c, d and d.e.
  create or replace function troupe_state_paths(value jsonb) returns text[]
  language sql immutable parallel safe as $$
    with recursive state (path, below) as (
      select array[]::text[], value
      union all
      select path || coalesce(inner_state.key, below #>> '{}'), coalesce(inner_state.value, '{}')
        from state
        left join lateral jsonb_each(case jsonb_typeof(below) when 'object' then below else '{}' end) as inner_state on true
       where jsonb_typeof(below) = 'string' or inner_state.key is not null
    )
    select coalesce(array_agg(array_to_string(path, '.')), '{}') from state where path <> '{}'
  $$;

  -- What lists look for, see marks.ts: 'state:a.b' and 'tag:x'. New rows bring theirs.
  alter table troupe_sessions add column if not exists marks text[];
  update troupe_sessions
     set marks = array(select 'state:' || path from unnest(troupe_state_paths(value)) as path)
              || array(select 'tag:' || tag from jsonb_array_elements_text(case jsonb_typeof(tags) when 'array' then tags else '[]' end) as tag)
   where value is not null;
  drop function troupe_state_paths;

  create index if not exists troupe_sessions_newest on troupe_sessions (epoch desc, session_id) where ended_at is null;
  create index if not exists troupe_sessions_of_machine on troupe_sessions (machine, epoch desc, session_id) where ended_at is null;
  create index if not exists troupe_sessions_ended on troupe_sessions (machine, epoch desc, session_id) where ended_at is not null;
  create index if not exists troupe_sessions_marks on troupe_sessions using gin (marks) where ended_at is null;
`
