import { JSONRPCClient, JSONRPCErrorException } from 'json-rpc-2.0'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { textFrame } from '../../transport/protocol/text-frame.ts'
import { startRig, type Rig } from './support/gateway-rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig()
})
afterEach(async () => {
  await rig.stop()
})

describe('a client that others wrote', () => {
  it('json-rpc-2.0 makes single requests, batches and notifications', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/ws`)
    const client = new JSONRPCClient((request) => socket.send(JSON.stringify(request)))
    socket.on('message', (data: Buffer) => client.receive(JSON.parse(data.toString()) as never))
    await new Promise((resolve) => socket.once('open', resolve))

    expect(await client.request('createSession', { machine: 'counter', id: 'a' })).toMatchObject({
      created: true,
    })
    client.notify('updateSession', { id: 'a', event: { type: 'ADD' } })
    expect(await client.request('getSession', { id: 'a' })).toMatchObject({ version: 2 })
    const replies = await client.requestAdvanced([
      { jsonrpc: '2.0', id: 'x', method: 'updateSession', params: { id: 'a', event: { type: 'ADD' } } },
      { jsonrpc: '2.0', id: 'y', method: 'getSession', params: { id: 'a' } },
    ])
    expect(replies).toMatchObject([
      { id: 'x', result: { applied: 3 } },
      { id: 'y', result: { version: 3 } },
    ])
    const failed = client.request('subscribe', { id: 'missing' })
    await expect(failed).rejects.toBeInstanceOf(JSONRPCErrorException)
    await expect(failed).rejects.toMatchObject({
      code: -32000,
      data: { code: 'not_found', retryable: false },
    })
    socket.terminate()
  })

  it.each([0, 1, 125, 126, 127, 65_535, 65_536, 200_000])(
    'ws reads our frames of %i bytes',
    async (length) => {
      const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/ws`)
      const texts: string[] = []
      socket.on('message', (data: Buffer) => texts.push(data.toString()))
      await new Promise((resolve) => socket.once('open', resolve))
      const text = length < 2 ? 'x'.repeat(length) : `${'x'.repeat(length - 2)}é`
      const frame = textFrame(text)
      expect(frame.subarray(frame.length - length).toString()).toBe(text)
      // As the server sends them: in a reply, among others.
      socket.send(
        JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'createSession',
          params: { machine: 'm', id: 'a', input: text },
        }),
      )
      socket.send(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'getSession', params: { id: 'a' } }))
      while (texts.length < 2) await new Promise((resolve) => setTimeout(resolve, 2))
      expect((JSON.parse(texts[1] ?? '') as { result: { context: string } }).result.context).toBe(text)
      socket.terminate()
    },
  )
})
