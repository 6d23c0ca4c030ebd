import { describe, expect, it } from 'vitest'
import { Histogram } from '../../bench/load/histogram.ts'
import { cyclicMix, sessionsOf } from '../../bench/load/plan.ts'
import { FIRST_ID, RequestTemplate, isExpected, methods, recognise } from '../../bench/load/requests.ts'

describe('the histogram of latencies', () => {
  it('gives percentiles within 0.8 % of the sorted values', () => {
    const histogram = new Histogram()
    const values = Array.from({ length: 20_000 }, (_, n) => 0.01 * 1.0005 ** n)
    for (const ms of values) histogram.record(ms)
    const { count, p50, p90, p99, p999, max } = histogram.percentiles()
    expect(count).toBe(values.length)
    for (const [share, found] of [
      [0.5, p50],
      [0.9, p90],
      [0.99, p99],
      [0.999, p999],
    ] as const) {
      const exact = values[Math.ceil(values.length * share) - 1] ?? NaN
      expect(Math.abs(found / exact - 1)).toBeLessThan(0.008)
    }
    expect(max).toBeCloseTo(values.at(-1) ?? NaN, 2)
  })

  it('is exact for small values and empty without any', () => {
    const histogram = new Histogram()
    expect(histogram.percentiles()).toMatchObject({ count: 0, p50: 0, max: 0 })
    for (const us of [1, 2, 127, 128, 255]) histogram.record(us / 1000)
    expect(histogram.percentiles()).toMatchObject({ p50: 0.127, max: 0.255 })
  })
})

describe('the plan of a load', () => {
  it('gives each client a slice of its own, or neighbours a session in common', () => {
    const slices = Array.from({ length: 5 }, (_, client) => sessionsOf({ clients: 5, sessions: 12 }, client))
    expect(slices.flat()).toEqual(Array.from({ length: 12 }, (_, n) => n))
    const shared = Array.from({ length: 8 }, (_, client) => sessionsOf({ clients: 8, sessions: 2 }, client))
    expect(shared.flat()).toEqual([0, 0, 0, 0, 1, 1, 1, 1])
  })

  it('mixes methods by their shares', () => {
    const mix = cyclicMix({ getSession: 4, updateSession: 4, broadcastToSession: 2 })
    const shareOf = (method: number): number => mix.filter((each) => each === method).length / mix.length
    expect(methods.map((_, method) => Math.round(shareOf(method) * 100) / 100)).toEqual([0.4, 0.4, 0.2, 0])
    expect(() => cyclicMix({})).toThrow('the mix is empty')
  })
})

describe('requests', () => {
  it('are valid masked frames that carry their id', () => {
    for (const method of methods) {
      const frame = new RequestTemplate(method, 'run-1').encode(FIRST_ID + 345_678)
      const request = JSON.parse(unmask(frame)) as { id: number; method: string; params: { id: string } }
      expect(request).toMatchObject({
        jsonrpc: '2.0',
        id: FIRST_ID + 345_678,
        method,
        params: { id: 'run-1' },
      })
    }
  })

  it('tell replies, errors and notifications apart without parsing them', () => {
    const update = methods.indexOf('updateSession')
    const reply = Buffer.from('{"jsonrpc":"2.0","id":12345678,"result":{"outcome":"committed","version":2}}')
    const recognised = recognise(reply, 0, reply.length)
    expect(recognised).toMatchObject({ kind: 'result', id: 12345678 })
    if (recognised.kind === 'result') expect(isExpected(update, reply, recognised.at)).toBe(true)

    const unchanged = Buffer.from(
      '{"jsonrpc":"2.0","id":12345678,"result":{"outcome":"unchanged","version":2}}',
    )
    const other = recognise(unchanged, 0, unchanged.length)
    if (other.kind === 'result') expect(isExpected(update, unchanged, other.at)).toBe(false)

    const error = Buffer.from('{"jsonrpc":"2.0","id":12345678,"error":{"code":-32000,"message":"gone"}}')
    expect(recognise(error, 0, error.length)).toEqual({ kind: 'error', id: 12345678 })
    const notification = Buffer.from('{"jsonrpc":"2.0","method":"sessionUpdated","params":{}}')
    expect(recognise(notification, 0, notification.length)).toEqual({ kind: 'notification' })
  })
})

function unmask(frame: Buffer): string {
  const extended = ((frame[1] ?? 0) & 0x7f) === 126
  const length = extended ? frame.readUInt16BE(2) : (frame[1] ?? 0) & 0x7f
  const maskAt = extended ? 4 : 2
  const payload = frame.subarray(maskAt + 4)
  expect(payload.length).toBe(length)
  return Buffer.from(payload.map((byte, n) => byte ^ (frame[maskAt + (n & 3)] ?? 0))).toString()
}
