/**
 * At which pace clients are sent away from a process that leaves. All of them come back to others, which must go on serving meanwhile:
 * each has a TLS handshake, an upgrade and its subscriptions to do again. So they are told in small waves, over a time that grows
 * with their number; a wave's clients are to spread themselves by the jitter, which covers several waves, so that one blends into the next.
 * Who ignores `goAway` is closed after that, and so at the same pace.
 */

export interface Departure {
  readonly waves: number
  /** Clients of a wave. */
  readonly size: number
  /** From one wave to the next. */
  readonly waveMs: number
  /** Clients are to connect again within this time after they were told. */
  readonly jitterMs: number
  /** From being told to being closed: for the last one of the jitter to have its new connection. */
  readonly closeMs: number
}

/** Clients that leave in a second, unless the deadline asks for more. */
const PER_SECOND = 250
const WAVE_MS = 250
/** Never less than from wave to wave. */
const MIN_JITTER_MS = WAVE_MS
const MAX_JITTER_MS = 2 * WAVE_MS
/** To connect takes a few round trips, and longer where many do. */
const MIN_GRACE_MS = 500
const MAX_GRACE_MS = 2000

/**
 * The last one is closed after three quarters of the deadline at the latest: the rest is for what is still under way.
 * @param count of clients
 */
export function planDeparture(count: number, deadlineMs: number): Departure {
  const spreadMs = Math.min((count / PER_SECOND) * 1000, deadlineMs / 2)
  const waves = Math.max(1, Math.floor(spreadMs / WAVE_MS))
  const graceMs = Math.min(MAX_GRACE_MS, Math.max(MIN_GRACE_MS, spreadMs / 2), deadlineMs / 5)
  const jitterMs = Math.round(Math.min(MAX_JITTER_MS, Math.max(MIN_JITTER_MS, spreadMs), deadlineMs / 20))
  return {
    waves,
    size: Math.ceil(count / waves),
    waveMs: WAVE_MS,
    jitterMs,
    closeMs: jitterMs + Math.round(graceMs),
  }
}
