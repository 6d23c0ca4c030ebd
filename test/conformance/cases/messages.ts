/** broadcastToSession. */
import { same } from '../broken.ts'
import type { Case } from '../case.ts'

export const messageCases: readonly Case[] = [
  {
    name: 'broadcast',
    rule: 'A message reaches every subscriber once, its sender too if it is one, on every process.',
    async run(scene) {
      const peers = [await scene.open(), await scene.open(), await scene.open(), await scene.open()]
      const [sender] = peers as [(typeof peers)[0]]
      const { id } = await scene.document(sender, { subscribe: true })
      for (const peer of peers.slice(1)) await peer.result('subscribe', { id })
      same('the result', await sender.result('broadcastToSession', { id, message: { hello: 'all' } }), {})
      for (const peer of peers) {
        same('the message', (await peer.notified('sessionMessage', id))['message'], { hello: 'all' })
        await peer.quiet()
        same('how often it came', peer.heard('sessionMessage', id).length, 1)
      }
    },
  },
  {
    name: 'broadcast-outside',
    rule: 'Who sends a message without being subscribed does not get it.',
    async run(scene) {
      const [sender, reader] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(reader, { subscribe: true })
      await sender.result('broadcastToSession', { id, message: 1 })
      await reader.notified('sessionMessage', id)
      await sender.quiet()
      same('what the sender heard', sender.heard('sessionMessage', id), [])
    },
  },
  {
    name: 'broadcast-any-json',
    rule: 'A message is any JSON, and arrives as it was sent.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer, { subscribe: true })
      const messages: unknown[] = [
        null,
        false,
        0,
        '',
        [],
        {},
        'ü😀\u2028"\\',
        [[null]],
        { constructor: { a: -1.5e-7 } },
      ]
      for (const message of messages) await peer.result('broadcastToSession', { id, message })
      await peer.until('the last message', () => peer.heard('sessionMessage', id)[messages.length - 1])
      const came = peer.heard('sessionMessage', id).map(({ message }) => message)
      same('what came', JSON.stringify(came.sort(byText)), JSON.stringify(messages.sort(byText)))
    },
  },
  {
    name: 'text-that-cannot-be-kept',
    rule: 'Texts with a NUL or half of a surrogate pair are refused with event_invalid, in events, inputs and messages.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer, { subscribe: true })
      for (const text of ['a\u0000', '\ud800', 'b\udc00a', '\ude00\ud83d']) {
        await peer.refused('event_invalid', 'broadcastToSession', { id, message: [text] })
        await peer.refused('event_invalid', 'updateSession', {
          id,
          event: { type: 'SET', state: { [text]: 1 } },
        })
        const input = { machine: 'document', id: scene.freshId(), input: text }
        await peer.refused('event_invalid', 'createSession', input)
        same('the session that was not made', await peer.result('getSession', { id: input.id }), null)
      }
      same('the version', (await peer.result('getSession', { id }))?.version, 1)
    },
  },
  {
    name: 'broadcast-no-session',
    rule: 'broadcastToSession does not ask whether the session exists, and makes no version.',
    async run(scene) {
      const peer = await scene.open()
      same('to nobody', await peer.result('broadcastToSession', { id: scene.freshId(), message: 1 }), {})
      const { id } = await scene.document(peer)
      await peer.result('broadcastToSession', { id, message: 1 })
      same('the version', (await peer.result('getSession', { id }))?.version, 1)
    },
  },
  {
    name: 'too-large',
    rule: 'An event, input or message beyond the limit (65,536 bytes by default) is refused with too_large, and nothing changes.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer, { subscribe: true })
      const large = 'x'.repeat(70_000)
      await peer.refused('too_large', 'updateSession', { id, event: { type: 'SET', state: large } })
      await peer.refused('too_large', 'broadcastToSession', { id, message: large })
      const other = scene.freshId()
      await peer.refused('too_large', 'createSession', { machine: 'document', id: other, input: large })
      same('the session that was not made', await peer.result('getSession', { id: other }), null)
      same('the version', (await peer.result('getSession', { id }))?.version, 1)
    },
  },
]

function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1
}
