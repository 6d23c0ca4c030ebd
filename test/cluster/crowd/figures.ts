/** What a crowd has seen, as figures. */

/** The value that `share` of them do not exceed; 0 of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
}

/** The most of these times that lie in one bucket of so many ms. */
export function largestBucket(times: readonly number[], bucketMs: number): number {
  const buckets = new Map<number, number>()
  for (const at of times) {
    const bucket = Math.floor(at / bucketMs)
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1)
  }
  return Math.max(0, ...buckets.values())
}

/** What a largest bucket would be expected to hold, if each client told at `at` chose any time within its jitter. */
export function largestAnnounced(
  told: readonly { readonly at: number; readonly jitterMs: number }[],
  bucketMs: number,
): number {
  const times = told.flatMap(({ at, jitterMs }) => {
    const steps = Math.max(1, Math.round(jitterMs / bucketMs))
    return Array.from({ length: steps }, (_, step) => ({ at: at + step * bucketMs, part: 1 / steps }))
  })
  const buckets = new Map<number, number>()
  for (const { at, part } of times) {
    const bucket = Math.floor(at / bucketMs)
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + part)
  }
  return Math.max(0, ...buckets.values())
}
