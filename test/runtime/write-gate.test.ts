import { describe, expect, it } from 'vitest'
import type { RedisPressure } from '../../persistence/redis-pressure.ts'
import { WriteGate } from '../../runtime/write-gate.ts'
import { KeptLog } from '../transport/support/parts.ts'

const MB = 1024 * 1024

/** A gate that looks when it is told to. */
async function gate(first: RedisPressure) {
  let pressure: RedisPressure | Error = first
  let look: () => void = () => undefined
  const waits: number[] = []
  const log = new KeptLog()
  const one = new WriteGate({
    read: () => (pressure instanceof Error ? Promise.reject(pressure) : Promise.resolve(pressure)),
    maxOutboxBytes: 100 * MB,
    maxRedisMemoryPercent: 90,
    clock: {
      now: () => 0,
      setTimeout: (callback, ms) => {
        waits.push(ms)
        look = callback
        return { cancel: () => (look = () => undefined) }
      },
    },
    log,
  })
  await one.start()
  const next = async (to: RedisPressure | Error): Promise<void> => {
    pressure = to
    look()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { one, next, waits }
}

const at = (outboxMb: number, usedMb = 200, limitMb = 1000): RedisPressure => ({
  outboxBytes: outboxMb * MB,
  usedBytes: usedMb * MB,
  limitBytes: limitMb * MB,
})

describe('the gate of writes', () => {
  it('AU3 tells before it refuses, and takes writes again only well below the mark', async () => {
    const { one, next, waits } = await gate(at(10))
    expect(one.health().status).toBe('ok')
    await next(at(74))
    expect(one.health().status).toBe('ok')
    await next(at(80))
    expect(one.health()).toMatchObject({ status: 'degraded', outboxBytes: 80 * MB })
    expect(one.refusal).toBeNull()
    await next(at(100))
    expect(one.refusal).toContain('MAX_OUTBOX_BYTES')
    expect(one.health()).toMatchObject({ status: 'refused', reason: one.refusal })
    await next(at(96))
    expect(one.refusal).not.toBeNull()
    await next(at(94))
    expect(one.refusal).toBeNull()
    await next(at(10))
    expect(one.health().status).toBe('ok')
    // Near the mark it looks more often.
    expect(waits).toEqual([1000, 100, 100, 100, 100, 100, 1000])
  })

  it('AU3 refuses before Redis is full, whatever fills it, and does not wait for an outbox that is empty', async () => {
    const { one, next } = await gate(at(10, 901))
    expect(one.refusal).toContain('MAX_REDIS_MEMORY_PERCENT')
    await next(at(10, 890))
    expect(one.refusal).not.toBeNull()
    await next(at(0, 890))
    expect(one.refusal).toBeNull()
    expect(one.health().status).toBe('degraded')
  })

  it('AU3 stays as it is while Redis does not answer', async () => {
    const { one, next } = await gate(at(100))
    await next(new Error('away'))
    expect(one.refusal).not.toBeNull()
    await next(at(1))
    expect(one.refusal).toBeNull()
    await next(new Error('away'))
    expect(one.refusal).toBeNull()
  })
})
