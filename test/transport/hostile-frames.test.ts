import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Dice } from '../fuzz/dice.ts'
import { rawInput } from '../fuzz/frames.ts'
import { badHandshake } from '../fuzz/handshakes.ts'
import { sendAll } from '../fuzz/json-attack.ts'
import { jsonInputs } from '../fuzz/json-inputs.ts'
import { tryFrames, tryHandshake } from '../fuzz/raw-socket.ts'
import { startRig, until, type Rig } from './support/gateway-rig.ts'

const SEED = 20
const FRAMES = 4000

let rig: Rig
beforeAll(async () => {
  rig = await startRig()
})
afterAll(async () => {
  await rig.stop()
})

describe('hostile input', () => {
  it('TR1 no frame ends the process, closes the connection, stays without a sensible answer, or changes a session', async () => {
    const witness = await rig.connect()
    await witness.call('createSession', { machine: 'counter', id: 'the-witness', subscribe: true })
    const url = `ws://127.0.0.1:${rig.port}/ws`
    expect(await sendAll(url, jsonInputs(['canary-0'], SEED, FRAMES))).toEqual([])
    expect((await witness.call('getSession', { id: 'the-witness' })).result).toMatchObject({ version: 1 })
    expect(witness.notified('sessionUpdated')).toEqual([])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    expect(rig.log.at('error')).toEqual([])
    witness.socket.terminate()
  }, 60_000)

  it('TR1 no stream of bytes ends the process, and each is answered as it must be', async () => {
    const dice = new Dice(SEED)
    const url = new URL(`http://127.0.0.1:${rig.port}`)
    const found = await Promise.all(
      Array.from({ length: 300 }, (_, n) =>
        n % 3 > 0 ? tryFrames(url, rawInput(dice)) : tryHandshake(url, badHandshake(dice)),
      ),
    )
    expect(found.filter((finding) => finding !== null)).toEqual([])
    const client = await rig.connect()
    expect((await client.call('getSession', { id: 'a' })).result).toBeNull()
    client.socket.close()
    await until(() => rig.gateway.connections === 0)
  }, 60_000)
})
