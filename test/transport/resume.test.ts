/** Coming back with `since` to a session that keeps its last commits. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { methods } from '../../transport/protocol/messages.ts'
import { startRig, type Rig } from './support/gateway-rig.ts'

let rig: Rig
let epoch: string
beforeEach(async () => {
  rig = await startRig()
  rig.service.keeps = 5
  const writer = await rig.connect()
  epoch = String((await writer.call('createSession', { machine: 'counter', id: 'a' })).result?.['epoch'])
  for (let n = 2; n <= 8; n++) await writer.call('updateSession', { id: 'a', event: { type: 'ADD', n } })
})
afterEach(() => rig.stop())

async function resumed(version: number, more: object = {}) {
  const client = await rig.connect()
  const { result } = await client.call('subscribe', { id: 'a', since: { epoch, version }, ...more })
  expect(methods.subscribe.result.safeParse(result).error).toBeUndefined()
  return {
    client,
    result: result as { recovered: boolean; session: unknown; updates?: Record<string, unknown>[] },
  }
}

describe('a subscription that resumes', () => {
  it('FD1 gets each commit that it missed, with its events and what was emitted, and the newest view', async () => {
    const { result } = await resumed(5)
    expect(result).toMatchObject({ recovered: true, session: { version: 8 } })
    expect(
      result.updates?.map(({ version, events, emitted, context }) => ({ version, events, emitted, context })),
    ).toEqual(
      [6, 7, 8].map((version) => ({
        version,
        events: ['ADD'],
        emitted: [{ version, event: { type: 'added', version } }],
        context: { last: { type: 'ADD', n: version } },
      })),
    )
  })

  it('gets the newest view alone where the history does not reach back, is of another life, or is not kept', async () => {
    expect((await resumed(2)).result).toMatchObject({ recovered: false, session: { version: 8 } })
    expect((await resumed(2)).result).not.toHaveProperty('updates')
    const own = epoch
    epoch = '7'
    expect((await resumed(7)).result).toMatchObject({ recovered: false, session: { version: 8 } })
    epoch = own
    rig.service.keeps = 0
    expect((await resumed(7)).result.recovered).toBe(false)
  })

  it('gets nothing where it has missed nothing', async () => {
    expect((await resumed(8)).result).toEqual({ recovered: true, session: null })
  })

  it('gets the newest view where the rest is more than a client should get at once', async () => {
    const writer = await rig.connect()
    const text = 'x'.repeat(200_000)
    rig.service.keeps = 10
    for (let n = 9; n <= 16; n++)
      await writer.call('updateSession', { id: 'a', event: { type: 'ADD', text } })
    expect((await resumed(14)).result.updates).toHaveLength(2)
    expect((await resumed(8)).result).toMatchObject({ recovered: false, session: { version: 16 } })
  })

  it('goes on with the next update', async () => {
    const { client } = await resumed(5, { delta: true })
    const writer = await rig.connect()
    await writer.call('updateSession', { id: 'a', event: { type: 'ADD', n: 8 } })
    await expect.poll(() => client.notified('sessionUpdated')).toMatchObject([{ version: 9 }])
  })
})
