/** Requests of one connection for one session take effect in the order sent. */
import { check, same } from '../broken.ts'
import { merge } from '../case.ts'
import type { Case } from '../case.ts'
import { refusalOf, resultOf } from '../peer.ts'
import { request } from '../wire.ts'

const MANY = 100

export const orderCases: readonly Case[] = [
  {
    name: 'order-updates',
    rule: 'Updates that are sent without waiting take effect in the order sent, each as a version of its own, without gaps.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      const all = Array.from({ length: MANY }, (_, n) => n)
      for (const n of all) peer.send(request(n, 'updateSession', { id, event: { type: 'SET', state: n } }))
      const applied: (number | undefined)[] = []
      for (const n of all) applied.push(resultOf<'updateSession'>(await peer.reply(n), `update ${n}`).applied)
      same(
        'the versions that they made',
        applied,
        all.map((n) => n + 2),
      )
      same('the state', (await peer.result('getSession', { id }))?.context, { state: MANY - 1 })
    },
  },
  {
    name: 'order-reads',
    rule: 'A read sees what was written before it by the same connection, and no reply goes back.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      for (let n = 0; n < MANY; n += 2) {
        peer.send(request(n, 'updateSession', { id, event: { type: 'SET', state: n } }))
        peer.send(request(n + 1, 'getSession', { id }))
      }
      for (let n = 0; n < MANY; n += 2) {
        const { applied = 0 } = resultOf<'updateSession'>(await peer.reply(n), `update ${n}`)
        const view = resultOf<'getSession'>(await peer.reply(n + 1), `read ${n + 1}`)
        check(
          (view?.version ?? 0) >= applied,
          `read ${n + 1} shows version ${view?.version}, the write before it made ${applied}`,
        )
      }
    },
  },
  {
    name: 'order-of-life',
    rule: 'Creating, changing, deleting and creating again are in order too when nobody waits in between.',
    async run(scene) {
      const peer = await scene.open()
      const id = scene.freshId()
      peer.send(request(1, 'updateSession', { id, event: merge('a', 1) }))
      peer.send(request(2, 'createSession', { machine: 'document', id }))
      peer.send(request(3, 'updateSession', { id, event: merge('a', 1) }))
      peer.send(request(4, 'deleteSession', { id }))
      peer.send(request(5, 'getSession', { id }))
      peer.send(request(6, 'createSession', { machine: 'document', id, subscribe: true }))
      peer.send(request(7, 'updateSession', { id, event: merge('b', 1) }))
      refusalOf(await peer.reply(1), 'not_found', 'an update before createSession')
      const first = resultOf<'createSession'>(await peer.reply(2), 'createSession')
      same('applied', resultOf<'updateSession'>(await peer.reply(3), 'updateSession').applied, 2)
      same('deleteSession', resultOf(await peer.reply(4), 'deleteSession'), { deleted: true })
      same('getSession', resultOf(await peer.reply(5), 'getSession'), null)
      const second = resultOf<'createSession'>(await peer.reply(6), 'the second createSession')
      check(
        BigInt(second.epoch) > BigInt(first.epoch),
        `the second life has the epoch ${second.epoch}, the first ${first.epoch}`,
      )
      same(
        'applied in the second life',
        resultOf<'updateSession'>(await peer.reply(7), 'updateSession').applied,
        2,
      )
    },
  },
  {
    name: 'order-without-id',
    rule: 'Requests without id stand in the same order as those with one.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      for (let n = 0; n < MANY; n++)
        peer.send(
          request(n % 5 === 0 ? n : undefined, 'updateSession', { id, event: { type: 'SET', state: n } }),
        )
      const last = MANY - 5
      same('applied', resultOf<'updateSession'>(await peer.reply(last), `update ${last}`).applied, last + 2)
      const view = await peer.result('getSession', { id })
      same('version and state', [view?.version, view?.context], [MANY + 1, { state: MANY - 1 }])
    },
  },
  {
    name: 'order-of-others',
    rule: 'Requests for different sessions do not wait for each other, nor for waitFor.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      peer.send(request('long', 'waitFor', { id, until: { done: true }, timeoutMs: 3000 }))
      const began = Date.now()
      await peer.result('updateSession', { id, event: merge('a', 1) })
      await scene.document(peer)
      check(Date.now() - began < 2500, 'requests waited for waitFor')
    },
  },
]
