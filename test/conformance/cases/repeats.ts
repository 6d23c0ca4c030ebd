/** Command keys, and updates that ask for a version. */
import { check, same } from '../broken.ts'
import { merge } from '../case.ts'
import type { Case } from '../case.ts'
import { resultOf } from '../peer.ts'

export const repeatCases: readonly Case[] = [
  {
    name: 'key-duplicate',
    rule: 'The same key with the same event is applied once; sent again it is a duplicate, with the version that it made.',
    async run(scene) {
      const [one, two] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(one)
      const params = { id, event: { type: 'SET', state: 1 }, key: 'k' }
      same('the first', (await one.result('updateSession', params)).outcome, 'committed')
      await one.result('updateSession', { id, event: { type: 'SET', state: 2 } })
      for (const peer of [one, two]) {
        const { outcome, applied, version, context } = await peer.result('updateSession', params)
        same('sent again', [outcome, applied, version, context], ['duplicate', 2, 3, { state: 2 }])
      }
    },
  },
  {
    name: 'key-race',
    rule: 'The same key sent at once over two connections is applied once.',
    async run(scene) {
      const peers = [await scene.open(), await scene.open()]
      const { id } = await scene.document(peers[0] as (typeof peers)[0])
      const params = { id, event: merge('a', 1), key: 'k' }
      const answers = await Promise.all(peers.map((peer) => peer.result('updateSession', params)))
      same('outcomes', answers.map(({ outcome }) => outcome).sort(), ['committed', 'duplicate'])
      same(
        'applied',
        answers.map(({ applied }) => applied),
        [2, 2],
      )
      same('the version', (await peers[0]?.result('getSession', { id }))?.version, 2)
    },
  },
  {
    name: 'key-reused',
    rule: 'The same key with another event is refused with key_reused, and nothing changes.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      await peer.result('updateSession', { id, event: merge('a', 1), key: 'k' })
      await peer.refused('key_reused', 'updateSession', { id, event: merge('a', 2), key: 'k' })
      const view = await peer.result('getSession', { id })
      same('the session', [view?.version, view?.context], [2, { state: { a: 1 } }])
    },
  },
  {
    name: 'key-of-session',
    rule: 'A key belongs to one session: another one may use it too.',
    async run(scene) {
      const peer = await scene.open()
      for (let n = 0; n < 2; n++) {
        const { id } = await scene.document(peer)
        same(
          'outcome',
          (await peer.result('updateSession', { id, event: merge('n', n), key: 'k' })).outcome,
          'committed',
        )
      }
    },
  },
  {
    name: 'key-of-commit',
    rule: 'Only what was committed is remembered: a key whose event changed nothing can be sent again.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await peer.result('createSession', { machine: 'checkout', id: scene.freshId() })
      const pay = { id, event: { type: 'PAY' }, key: 'pay' }
      same('with an empty cart', (await peer.result('updateSession', pay)).outcome, 'unchanged')
      await peer.result('updateSession', { id, event: { type: 'ADD', sku: 'book', unitPrice: 1 } })
      same('with a full one', (await peer.result('updateSession', pay)).outcome, 'committed')
      same('once more', (await peer.result('updateSession', pay)).outcome, 'duplicate')
    },
  },
  {
    name: 'if-version',
    rule: 'ifVersion as a number: applied at that version, else version_conflict with the position in data, and nothing changes.',
    async run(scene) {
      const peer = await scene.open()
      const { id, epoch } = await scene.document(peer)
      same(
        'at the version',
        (await peer.result('updateSession', { id, event: merge('a', 1), ifVersion: 1 })).applied,
        2,
      )
      for (const ifVersion of [1, 3, 1_000_000]) {
        const { data } = await peer.refused('version_conflict', 'updateSession', {
          id,
          event: merge('b', 1),
          ifVersion,
        })
        same('the position in data', [data?.['epoch'], data?.['version']], [epoch, 2])
      }
      same('the state', (await peer.result('getSession', { id }))?.context, { state: { a: 1 } })
    },
  },
  {
    name: 'if-position',
    rule: 'ifVersion as a position: the epoch must be right as well.',
    async run(scene) {
      const peer = await scene.open()
      const { id, epoch } = await scene.document(peer)
      const other = { epoch: String(BigInt(epoch) - 1n), version: 1 }
      await peer.refused('version_conflict', 'updateSession', { id, event: merge('a', 1), ifVersion: other })
      const { applied } = await peer.result('updateSession', {
        id,
        event: merge('a', 1),
        ifVersion: { epoch, version: 1 },
      })
      same('applied', applied, 2)
    },
  },
  {
    name: 'if-version-unchanged',
    rule: 'ifVersion is looked at before the machine: it is a conflict also for an event that would change nothing.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await peer.result('createSession', { machine: 'checkout', id: scene.freshId() })
      await peer.refused('version_conflict', 'updateSession', { id, event: { type: 'PAY' }, ifVersion: 5 })
    },
  },
  {
    name: 'if-version-race',
    rule: 'Of two connections that ask for the same version at once, one is applied and the other gets version_conflict.',
    async run(scene) {
      const peers = [await scene.open(), await scene.open()]
      const { id } = await scene.document(peers[0] as (typeof peers)[0])
      for (let version = 1; version <= 10; version++) {
        const replies = await Promise.all(
          peers.map((peer, n) =>
            peer.call('updateSession', { id, event: { type: 'SET', state: n }, ifVersion: version }),
          ),
        )
        const words = replies.map((reply) => reply.error?.data?.code ?? 'applied').sort()
        same(`outcomes at version ${version}`, words, ['applied', 'version_conflict'])
        const won = replies.find((reply) => reply.error === undefined)
        check(
          resultOf<'updateSession'>(won, 'updateSession').applied === version + 1,
          'the winner made another version',
        )
      }
    },
  },
]
