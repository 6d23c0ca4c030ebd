import { describe, expect, it } from 'vitest'
import { planDeparture } from '../../transport/gateway/departure.ts'

/** Until the last one is closed, if it ignores what it is told. */
function lastsMs({ waves, waveMs, closeMs }: ReturnType<typeof planDeparture>): number {
  return (waves - 1) * waveMs + closeMs
}

describe('how clients are sent away', () => {
  it('takes the longer the more they are, and leaves time for what is under way', () => {
    let before = 0
    for (const count of [1, 20, 150, 1000, 2500, 5000, 20_000]) {
      const departure = planDeparture(count, 10_000)
      expect(departure.size * departure.waves).toBeGreaterThanOrEqual(count)
      expect(lastsMs(departure)).toBeGreaterThanOrEqual(before)
      expect(lastsMs(departure)).toBeLessThanOrEqual(7500)
      before = lastsMs(departure)
    }
    expect(lastsMs(planDeparture(1, 10_000))).toBeLessThan(1000)
    expect(lastsMs(planDeparture(1000, 10_000))).toBeGreaterThan(2000)
  })

  it('lets one wave blend into the next, and gives the last of the jitter time to connect', () => {
    for (const count of [20, 150, 1000, 20_000]) {
      const { jitterMs, waveMs, closeMs } = planDeparture(count, 10_000)
      expect(jitterMs).toBeGreaterThanOrEqual(waveMs)
      expect(closeMs - jitterMs).toBeGreaterThanOrEqual(500)
    }
  })

  it.each([0, 100, 1000, 3000])('keeps a deadline of %i ms', (deadlineMs) => {
    for (const count of [0, 1, 1000, 20_000])
      expect(lastsMs(planDeparture(count, deadlineMs))).toBeLessThanOrEqual(deadlineMs)
  })
})
