/** The WebSocket itself: who may open one, and why it is closed. */
import { once } from 'node:events'
import { closeKinds } from '../../../transport/protocol/close-codes.ts'
import { SUBPROTOCOL } from '../../../transport/protocol/messages.ts'
import { defaultLimits } from '../../../transport/gateway/limits.ts'
import { Broken, check, same } from '../broken.ts'
import type { Case } from '../case.ts'

export const socketCases: readonly Case[] = [
  {
    name: 'subprotocol',
    rule: `A client may ask for the subprotocol ${SUBPROTOCOL}, also among others, or for none.`,
    async run(scene) {
      same('without asking', (await scene.open()).socket.protocol, '')
      const peer = await scene.open({ protocols: ['other.v9', SUBPROTOCOL] })
      same('with asking', peer.socket.protocol, SUBPROTOCOL)
      await peer.result('rpc.discover', {})
    },
  },
  {
    name: 'binary-frame',
    rule: `A binary frame closes the connection with ${closeKinds.binary_frame.code}.`,
    async run(scene) {
      const peer = await scene.open()
      peer.socket.send(Buffer.from('{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}'), { binary: true })
      same('the close code', (await peer.closed()).code, closeKinds.binary_frame.code)
      same('what was answered', peer.frames, [])
    },
  },
  {
    name: 'frame-too-large',
    rule: `A frame of more than ${defaultLimits.maxFrameBytes} bytes (the default limit) closes the connection with 1009.`,
    async run(scene) {
      const peer = await scene.open()
      const text = (bytes: number): string => `"${'x'.repeat(bytes - 2)}"`
      peer.send(text(defaultLimits.maxFrameBytes))
      await peer.until('an answer to a frame of the largest size', () => peer.frames[0])
      peer.send(text(defaultLimits.maxFrameBytes + 1))
      same('the close code', (await peer.closed()).code, 1009)
    },
  },
  {
    name: 'not-utf-8',
    rule: 'Text that is not UTF-8 closes the connection with 1007.',
    async run(scene) {
      const peer = await scene.open()
      peer.socket.send(Buffer.from([0x22, 0xc3, 0x28, 0x22]), { binary: false })
      same('the close code', (await peer.closed()).code, 1007)
    },
  },
  {
    name: 'fragments',
    rule: 'A request may come in fragments, with pings between them, and each ping is answered.',
    async run(scene) {
      const peer = await scene.open()
      const frame = '{"jsonrpc":"2.0","id":"in parts","method":"rpc.discover"}'
      peer.expect(frame)
      peer.socket.send(frame.slice(0, 20), { fin: false })
      const pong = once(peer.socket, 'pong')
      peer.socket.ping('between')
      const [data] = (await Promise.race([pong, sleep(5000)])) as [Buffer | undefined]
      same('the pong', data?.toString(), 'between')
      peer.socket.send(frame.slice(20), { fin: true })
      await peer.reply('in parts')
    },
  },
  {
    name: 'foreign-page',
    rule: 'A page of an origin that is not on the list may not connect; one of the same machine may.',
    async run(scene) {
      await scene.open({ origin: 'http://localhost:5173' })
      const refused = await scene.open({ origin: 'https://conformance.invalid' }).then(
        () => null,
        (error: Error) => error.message,
      )
      check(refused?.includes('403') ?? false, `the page of another site: ${refused ?? 'it was let in'}`)
    },
  },
  {
    name: 'closed-by-client',
    rule: "A client's close is answered with its code, and ends its subscriptions.",
    async run(scene) {
      const peer = await scene.open()
      await scene.document(peer, { subscribe: true })
      peer.socket.close(1000)
      same('the close code', (await peer.closed()).code, 1000)
    },
  },
]

async function sleep(ms: number): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, ms))
  throw new Broken(`nothing came within ${ms} ms`)
}
