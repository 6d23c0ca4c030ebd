import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Dice } from '../../fuzz/dice.ts'
import { tryHttp } from '../../fuzz/http-attack.ts'
import { httpBytes, type HttpInput } from '../../fuzz/http-bytes.ts'
import { httpInputs } from '../../fuzz/http-inputs.ts'
import { startRig, type Rig } from '../support/gateway-rig.ts'
import { send } from './http-client.ts'

const SEED = 22
const AT_ONCE = 8

let rig: Rig
beforeAll(async () => {
  rig = await startRig()
  await send(rig.port, 'POST /sessions', { body: { machine: 'counter', id: 'the-witness' } })
})
afterAll(() => rig.stop())

async function findings(port: number, inputs: readonly HttpInput[]): Promise<string[]> {
  const url = new URL(`http://127.0.0.1:${port}`)
  const waiting = [...inputs]
  const found: string[] = []
  const one = async (): Promise<void> => {
    for (let input = waiting.pop(); input !== undefined; input = waiting.pop()) {
      const finding = await tryHttp(url, input)
      if (finding !== null) found.push(finding)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
  return found
}

describe('hostile requests', () => {
  it('TR1 none ends the process, is a fault, stays without an answer that is owed, or changes a session', async () => {
    const dice = new Dice(SEED)
    const inputs = [
      ...Array.from({ length: 400 }, () => httpBytes(dice)),
      ...httpInputs(['canary-0'], SEED, 800),
    ]
    expect(await findings(rig.port, inputs)).toEqual([])
    expect(rig.log.at('error')).toEqual([])
    expect((await send(rig.port, 'GET /sessions/the-witness')).json['version']).toBe(1)
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    await expect.poll(() => rig.api.connections).toBe(0)
  }, 60_000)
})

describe('the fuzz of HTTP', () => {
  const input: HttpInput = { kind: 'test', chunks: [Buffer.from('x')], owed: [404], isLast: true }
  const answer = (status: number, body: string, type = 'application/problem+json'): string =>
    `HTTP/1.1 ${status} X\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const problem = (status: number): string => answer(status, JSON.stringify({ code: 'not_found', status }))

  it.each([
    ['a good answer', problem(404), null],
    ['another status', problem(413), 'answered with 413'],
    ['a fault', problem(500), 'a fault of the server'],
    ['an error that is no problem', answer(404, '{}'), 'without a problem'],
    ['what is no JSON', answer(404, '{'), 'not JSON'],
    ['what is no HTTP', 'hello\r\n\r\n', 'no HTTP'],
    ['nothing', '', 'not answered'],
    ['two answers to one request', problem(404) + problem(404), 'went on after its answer'],
  ])('knows %s for what it is', async (_, text, wanted) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.end(text))
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const [found = null] = await findings((server.address() as AddressInfo).port, [input])
    if (wanted === null) expect(found).toBeNull()
    else expect(found).toContain(wanted)
    server.close()
  })

  it('sends the same for the same seed', () => {
    const some = (seed: number) => [httpInputs(['canary-0'], seed, 50), httpBytes(new Dice(seed))]
    expect(some(3)).toEqual(some(3))
    expect(some(3)).not.toEqual(some(4))
  })
})
