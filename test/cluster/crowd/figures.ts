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
