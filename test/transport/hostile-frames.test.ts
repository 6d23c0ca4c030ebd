import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect as connectTcp } from 'node:net'
import { methods } from '../../transport/protocol/messages.ts'
import { startRig, until, type Rig } from './support/gateway-rig.ts'

const FRAMES = 4000

let rig: Rig
beforeAll(async () => {
  rig = await startRig()
})
afterAll(async () => {
  await rig.stop()
})

/** Values that have broken parsers before. */
const nasty = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    '',
    '__proto__',
    'constructor',
    '\ud800',
    '\u0000',
    -0,
    1e308,
    1e-320,
    2 ** 53,
    [],
    {},
  ),
  fc.jsonValue({ maxDepth: 4 }),
)
const member = fc.oneof(
  fc.constantFrom(
    'id',
    'event',
    'type',
    'key',
    'machine',
    'message',
    'since',
    'ifVersion',
    'epoch',
    'version',
    '__proto__',
  ),
  fc.string(),
)
// fast-check's own objects would lose an own `__proto__`, so the text is put together here.
const object = fc
  .array(fc.tuple(member, nasty), { maxLength: 6 })
  .map(
    (members) =>
      `{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`,
  )
const method = fc.oneof(fc.constantFrom(...Object.keys(methods)), fc.string())
const request = fc
  .tuple(
    nasty,
    method,
    fc.oneof(
      object,
      nasty.map((value) => JSON.stringify(value)),
    ),
  )
  .map(
    ([id, name, params]) =>
      `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"method":${JSON.stringify(name)},"params":${params}}`,
  )
const damaged = fc
  .tuple(request, fc.nat(), fc.string({ unit: 'grapheme', maxLength: 3 }))
  .map(
    ([text, at, junk]) => text.slice(0, at % text.length) + junk + text.slice((at % text.length) + (at % 3)),
  )
const frame = fc.oneof(
  request,
  damaged,
  object,
  fc.string({ unit: 'binary' }).map((text) => Buffer.from(text).toString()),
  fc.array(request, { maxLength: 5 }).map((entries) => `[${entries.join(',')}]`),
  fc.nat({ max: 3000 }).map((depth) => `${'[{"a":'.repeat(depth)}1`),
)

describe('hostile input', () => {
  it('TR1 no frame ends the process, closes the connection, stays without a sensible answer, or changes a session', async () => {
    const [attacker, witness] = [await rig.connect(), await rig.connect()]
    await witness.call('createSession', { machine: 'counter', id: 'the-witness', subscribe: true })
    for (const text of fc.sample(frame, { numRuns: FRAMES, seed: 20 })) attacker.send(text)
    attacker.send({ jsonrpc: '2.0', id: 'the last', method: 'rpc.discover' })
    await attacker.reply('the last')
    for (const received of attacker.received.flat()) {
      if (received.method !== undefined) continue
      expect(received.result !== undefined || typeof received.error?.data.code === 'string').toBe(true)
      expect(received.error?.data.code).not.toBe('internal')
    }
    expect((await witness.call('getSession', { id: 'the-witness' })).result).toMatchObject({ version: 1 })
    expect(witness.notified('sessionUpdated')).toEqual([])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    expect(rig.log.at('error')).toEqual([])
  }, 60_000)

  it('TR1 no stream of bytes ends the process', async () => {
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
    const upgrade = `GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`
    const streams = fc.sample(fc.uint8Array({ maxLength: 200 }), { numRuns: 300, seed: 21 })
    await Promise.all(
      streams.map(
        (bytes, n) =>
          new Promise<void>((resolve) => {
            const socket = connectTcp(rig.port, '127.0.0.1', () => {
              if (n % 3 > 0) socket.write(upgrade)
              socket.write(bytes)
              if (n % 2 > 0) setTimeout(() => socket.resetAndDestroy(), n % 7)
              else socket.end()
            })
            socket.on('error', () => undefined)
            socket.on('close', () => resolve())
            socket.resume()
          }),
      ),
    )
    const client = await rig.connect()
    expect((await client.call('getSession', { id: 'a' })).result).toBeNull()
    client.socket.close()
    await until(() => rig.gateway.connections <= 2)
  }, 60_000)
})
