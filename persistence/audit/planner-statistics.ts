/**
 * Step 6 of the schema: no statistics of JSON columns. No question compares them by value, and to sort samples of them
 * takes most of the time of an `analyze`, which a table that grows has often.
 */

/** Columns of `troupe_transitions`, in the order of its first step. */
const OF_TRANSITIONS = ['event', 'input', 'from_value', 'to_value', 'context', 'tags', 'output', 'redacted']
const OF_SESSIONS = ['value', 'context', 'tags', 'output']

/** For a table like `troupe_transitions`: copies do not take this over. */
export function withoutStatistics(table: string, columns: readonly string[] = OF_TRANSITIONS): string {
  const each = columns.map((column) => `alter column ${column} set statistics 0`)
  return `alter table ${table} ${each.join(', ')}`
}

/** The partitions that there are take it from their parent. */
export const statisticsSchema = `
  ${withoutStatistics('troupe_transitions')};
  ${withoutStatistics('troupe_sessions', OF_SESSIONS)};
`
