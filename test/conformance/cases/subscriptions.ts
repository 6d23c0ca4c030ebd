/** Subscriptions, and the one stream in which a connection hears of a session. */
import { applyPatch } from 'rfc6902'
import type { Operation } from 'rfc6902'
import { check, same, shown } from '../broken.ts'
import { merge } from '../case.ts'
import type { Case } from '../case.ts'
import { resultOf } from '../peer.ts'
import { request } from '../wire.ts'

export const subscriptionCases: readonly Case[] = [
  {
    name: 'subscribe',
    rule: 'subscribe answers with the view; from then on the connection is told what others change, with the types of their events.',
    async run(scene) {
      const [writer, reader] = [await scene.open(), await scene.open()]
      const { id, epoch } = await scene.document(writer)
      const { recovered, session } = await reader.result('subscribe', { id })
      same('the answer', [recovered, session?.version], [false, 1])
      await writer.result('updateSession', { id, event: merge('a', 1) })
      const told = await reader.notified('sessionUpdated', id)
      same(
        'what is told',
        [told['epoch'], told['version'], told['context'], told['events']],
        [epoch, 2, { state: { a: 1 } }, ['MERGE']],
      )
    },
  },
  {
    name: 'delta',
    rule: 'With delta, a patch is of the last view that the connection has got, and makes the one that others get whole.',
    async run(scene) {
      const [writer, reader] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(writer)
      await writer.result('updateSession', { id, event: merge('filler', 'x'.repeat(2000)) })
      let held: unknown = (await reader.result('subscribe', { id, delta: true })).session
      let patches = 0
      for (let n = 0; n < 5; n++) {
        await writer.result('updateSession', { id, event: merge('n', n) })
        const whole = await writer.result('getSession', { id })
        const { events, patch, baseVersion, ...view } = await reader.notified(
          'sessionUpdated',
          id,
          ({ version }) => version === whole?.version,
        )
        same('the events', events, ['MERGE'])
        if (patch === undefined) held = view
        else {
          patches++
          same('the version that the patch is of', baseVersion, (held as { version: unknown }).version)
          held = structuredClone(held)
          check(
            applyPatch(held, patch as Operation[]).every((failure) => failure === null),
            `the patch cannot be applied: ${shown(patch)}`,
          )
        }
        same('the view', held, whole)
      }
      check(patches > 0, 'nothing came as a patch, though each view has 2000 characters that stay')
    },
  },
  {
    name: 'create-and-subscribe',
    rule: 'createSession with subscribe subscribes in the same go.',
    async run(scene) {
      const [writer, reader] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(reader, { subscribe: true })
      await writer.result('updateSession', { id, event: merge('a', 1) })
      same('the version', (await reader.notified('sessionUpdated', id))['version'], 2)
      const again = await writer.result('createSession', {
        machine: 'document',
        id,
        ifExists: 'return',
        subscribe: true,
      })
      same('created', again.created, false)
      await reader.result('updateSession', { id, event: merge('b', 1) })
      same('the version', (await writer.notified('sessionUpdated', id))['version'], 3)
    },
  },
  {
    name: 'no-subscription-no-news',
    rule: 'Who is not subscribed is told nothing.',
    async run(scene) {
      const [writer, other] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(writer)
      await other.result('getSession', { id })
      await writer.result('updateSession', { id, event: merge('a', 1) })
      await writer.result('broadcastToSession', { id, message: 1 })
      await writer.result('deleteSession', { id })
      await other.quiet()
      same(
        'notifications',
        other.messages.filter(({ method }) => method !== undefined),
        [],
      )
    },
  },
  {
    name: 'reply-instead-of-echo',
    rule: 'The connection that caused an update gets it in its reply and not a second time.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer, { subscribe: true })
      for (let n = 0; n < 20; n++) peer.send(request(n, 'updateSession', { id, event: merge('n', n) }))
      for (let n = 0; n < 20; n++) resultOf(await peer.reply(n), `update ${n}`)
      await peer.batch([request('b', 'updateSession', { id, event: merge('n', 20) })])
      await peer.quiet(400)
      same('what it was told', peer.heard('sessionUpdated', id), [])
    },
  },
  {
    name: 'no-reply-but-news',
    rule: 'An update without id has no reply to carry it: its sender, if subscribed, is told of it like any other.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer, { subscribe: true })
      peer.send(request(undefined, 'updateSession', { id, event: merge('a', 1) }))
      same('the version', (await peer.notified('sessionUpdated', id))['version'], 2)
    },
  },
  {
    name: 'converges',
    rule: 'While several write at once, each subscriber comes to the newest version, and never sees one twice or an older one.',
    async run(scene) {
      const writers = [await scene.open(), await scene.open(), await scene.open()]
      const readers = [await scene.open(), await scene.open()]
      const { id } = await scene.document(writers[0] as (typeof writers)[0])
      for (const peer of [...readers, ...writers.slice(1)]) await peer.result('subscribe', { id })
      const each = 40
      await Promise.all(
        writers.map((peer, w) =>
          Promise.all(
            Array.from({ length: each }, (_, n) =>
              peer.result('updateSession', { id, event: merge(`w${w}`, n) }),
            ),
          ),
        ),
      )
      const last = writers.length * each + 1
      for (const peer of readers) {
        const told = await peer.notified('sessionUpdated', id, ({ version }) => version === last)
        same('the state', told['context'], { state: { w0: each - 1, w1: each - 1, w2: each - 1 } })
        const versions = peer.heard('sessionUpdated', id).map(({ version }) => Number(version))
        check(
          versions.every((version, at) => version > (versions[at - 1] ?? 1)),
          `versions told: ${shown(versions)}`,
        )
      }
    },
  },
  {
    name: 'since-current',
    rule: 'subscribe with a since that is current answers recovered, without the view.',
    async run(scene) {
      const peer = await scene.open()
      const { id, epoch, version } = await scene.document(peer)
      same('the answer', await peer.result('subscribe', { id, since: { epoch, version } }), {
        recovered: true,
        session: null,
      })
      const [writer] = [await scene.open()]
      await writer.result('updateSession', { id, event: merge('a', 1) })
      same('the version', (await peer.notified('sessionUpdated', id))['version'], 2)
    },
  },
  {
    name: 'since-missed',
    rule: 'subscribe with a since that is older, of another life, or of the future answers with the newest view.',
    async run(scene) {
      const peer = await scene.open()
      const { id, epoch } = await scene.document(peer)
      await peer.result('updateSession', { id, event: merge('a', 1) })
      const other = String(BigInt(epoch) - 1n)
      for (const since of [
        { epoch, version: 1 },
        { epoch: other, version: 2 },
        { epoch, version: 9 },
      ]) {
        const { recovered, session } = await peer.result('subscribe', { id, since })
        same(`the answer to ${shown(since)}`, [recovered, session?.version], [false, 2])
      }
    },
  },
  {
    name: 'subscribe-twice',
    rule: 'Subscribing twice is one subscription: each update is told once, each message once, and one unsubscribe ends it.',
    async run(scene) {
      const [writer, reader] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(writer)
      await reader.result('subscribe', { id })
      await reader.result('subscribe', { id })
      await writer.result('updateSession', { id, event: merge('a', 1) })
      await writer.result('broadcastToSession', { id, message: 1 })
      await reader.notified('sessionUpdated', id)
      await reader.notified('sessionMessage', id)
      await reader.quiet()
      same(
        'how often it was told',
        [reader.heard('sessionUpdated', id).length, reader.heard('sessionMessage', id).length],
        [1, 1],
      )
      await reader.result('unsubscribe', { id })
      await writer.result('updateSession', { id, event: merge('a', 2) })
      await reader.quiet()
      same('after unsubscribe', reader.heard('sessionUpdated', id).length, 1)
    },
  },
  {
    name: 'unsubscribe',
    rule: 'unsubscribe ends the subscription; where there is none it does nothing.',
    async run(scene) {
      const [writer, reader] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(writer)
      await reader.result('unsubscribe', { id })
      await reader.result('unsubscribe', { id: scene.freshId() })
      await reader.result('subscribe', { id })
      await reader.result('unsubscribe', { id })
      await writer.result('updateSession', { id, event: merge('a', 1) })
      await writer.result('broadcastToSession', { id, message: 1 })
      await writer.result('deleteSession', { id })
      await reader.quiet()
      same(
        'notifications',
        reader.messages.filter(({ method }) => method !== undefined),
        [],
      )
    },
  },
  {
    name: 'unchanged-no-news',
    rule: 'What changes nothing is told to nobody.',
    async run(scene) {
      const [writer, reader] = [await scene.open(), await scene.open()]
      const { id } = await writer.result('createSession', { machine: 'checkout', id: scene.freshId() })
      await reader.result('subscribe', { id })
      await writer.result('updateSession', { id, event: { type: 'PAY' } })
      await writer.refused('event_invalid', 'updateSession', { id, event: { type: 'NOTHING' } })
      await reader.quiet()
      same('what was told', reader.heard('sessionUpdated', id), [])
    },
  },
  {
    name: 'emitted',
    rule: 'Emitted events of a transition come before its view, once, with its version.',
    async run(scene) {
      const [writer, reader] = [await scene.open(), await scene.open()]
      const { id, epoch } = await writer.result('createSession', { machine: 'checkout', id: scene.freshId() })
      await reader.result('subscribe', { id })
      for (const event of [
        { type: 'ADD', sku: 'book', unitPrice: 990 },
        { type: 'PAY' },
        { type: 'PAID', reference: 'r7' },
      ])
        await writer.result('updateSession', { id, event })
      await reader.notified('sessionUpdated', id, ({ version }) => version === 4)
      same('what was emitted', reader.heard('sessionEmitted', id), [
        { id, epoch, version: 4, event: { type: 'ordered', total: 990, reference: 'r7' } },
      ])
      const order = reader.messages.filter(
        ({ params }) => (params as { version?: number } | undefined)?.version === 4,
      )
      same(
        'the order',
        order.map(({ method }) => method),
        ['sessionEmitted', 'sessionUpdated'],
      )
    },
  },
  {
    name: 'ended',
    rule: 'sessionEnded tells subscribers that the session was deleted, once, and ends the subscription.',
    async run(scene) {
      const [writer, reader] = [await scene.open(), await scene.open()]
      const { id, epoch } = await scene.document(writer)
      await reader.result('subscribe', { id })
      await writer.result('deleteSession', { id })
      const ended = await reader.notified('sessionEnded', id)
      same('what is told', [ended['epoch'], ended['reason']], [epoch, 'deleted'])
      check(Number(ended['version']) >= 1, `its version is ${shown(ended['version'])}`)
      await writer.result('createSession', { machine: 'document', id })
      await writer.result('updateSession', { id, event: merge('a', 1) })
      await writer.result('broadcastToSession', { id, message: 1 })
      await reader.quiet()
      same('how often the end was told', reader.heard('sessionEnded', id).length, 1)
      same(
        'news of the next life',
        [...reader.heard('sessionUpdated', id), ...reader.heard('sessionMessage', id)],
        [],
      )
      same('the next life, subscribed again', (await reader.result('subscribe', { id })).session?.version, 2)
    },
  },
  {
    name: 'ended-by-oneself',
    rule: "The reply to one's own deleteSession ends the subscription; sessionEnded does not come too.",
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer, { subscribe: true })
      await peer.result('deleteSession', { id })
      await peer.quiet(400)
      same('sessionEnded', peer.heard('sessionEnded', id), [])
    },
  },
]
