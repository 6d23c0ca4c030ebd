import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { farewell, systemClock } from '../../runtime/clock.ts'

describe('LC2 who leaves', () => {
  it('waits for what it tells others', async () => {
    let isTold = false
    const told = sleep(50).then(() => (isTold = true))
    await farewell(systemClock, systemClock.now() + 10_000, told)
    expect(isTold).toBe(true)
  })

  it('waits no longer than its deadline, and a moment where that is over, for a Redis that hangs', async () => {
    let isOver = false
    const never = new Promise(() => undefined)
    const left = farewell(systemClock, systemClock.now() - 1, never).then(() => (isOver = true))
    await sleep(100)
    expect(isOver).toBe(false)
    await left
  })

  it('hears of what went wrong in time', async () => {
    const failed = Promise.reject(new Error('no'))
    await expect(farewell(systemClock, systemClock.now() + 1000, failed)).rejects.toThrow('no')
  })
})
