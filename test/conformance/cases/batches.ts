/** Several requests in one frame. */
import { defaultLimits } from '../../../transport/gateway/limits.ts'
import { check, same, shown } from '../broken.ts'
import { merge } from '../case.ts'
import type { Case } from '../case.ts'
import { refusalOf, resultOf } from '../peer.ts'
import type { Incoming } from '../wire.ts'
import { request } from '../wire.ts'

export const batchCases: readonly Case[] = [
  {
    name: 'batch-one-array',
    rule: 'A batch is answered by one array, with one reply for each request that has an id.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      const before = peer.frames.length
      const replies = await peer.batch([
        request('a', 'getSession', { id }),
        request(undefined, 'updateSession', { id, event: merge('silent', 1) }),
        request(2, 'noSuchMethod', {}),
        request('c', 'getSession', { id }),
      ])
      same('the ids of the replies', new Set(replies.keys()), new Set(['a', 2, 'c']))
      resultOf(replies.get('a'), 'getSession')
      refusalOf(replies.get(2), 'method_not_found', 'noSuchMethod')
      same(
        'the version behind the update',
        resultOf<'getSession'>(replies.get('c'), 'getSession')?.version,
        2,
      )
      await peer.quiet()
      same('how many frames came (the array, and that of rpc.discover)', peer.frames.length - before, 2)
    },
  },
  {
    name: 'batch-empty',
    rule: 'An empty batch is answered with one invalid_request, not with an array.',
    async run(scene) {
      const peer = await scene.open()
      peer.send('[]')
      const frame = await peer.until('an answer', () => peer.frames[0])
      check(!Array.isArray(frame), `the answer is an array: ${shown(frame)}`)
      refusalOf(frame as Incoming, 'invalid_request', 'an empty batch')
      same('its id', (frame as Incoming).id, null)
    },
  },
  {
    name: 'batch-silent',
    rule: 'A batch of requests without ids runs and is not answered.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      const before = peer.frames.length
      peer.send([1, 2, 3].map((n) => request(undefined, 'updateSession', { id, event: merge('n', n) })))
      const view = await peer.result('getSession', { id })
      await peer.quiet()
      same('the version', view?.version, 4)
      same('how many frames came (getSession, rpc.discover)', peer.frames.length - before, 2)
    },
  },
  {
    name: 'batch-with-junk',
    rule: 'What is no request in a batch gets an invalid_request of its own; the others run.',
    async run(scene) {
      const peer = await scene.open()
      const id = scene.freshId()
      peer.send([
        1,
        [],
        { jsonrpc: '2.0', id: 'x' },
        request('y', 'createSession', { machine: 'document', id }),
      ])
      const frame = await peer.until('an answer', () => peer.frames[0])
      check(Array.isArray(frame) && frame.length === 4, `the answer is not an array of four: ${shown(frame)}`)
      const replies = frame as Incoming[]
      same(
        'replies with a null id',
        replies.filter((reply) => reply.id === null && reply.error !== undefined).length,
        2,
      )
      const find = (wanted: string): Incoming | undefined => replies.find((reply) => reply.id === wanted)
      refusalOf(find('x'), 'invalid_request', 'a request without method')
      same('the version', resultOf<'createSession'>(find('y'), 'createSession').version, 1)
    },
  },
  {
    name: 'batch-too-long',
    rule: `A batch of more than ${defaultLimits.maxBatchLength} requests (the default limit) is refused as a whole.`,
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      const update = (n: number): object => request(n, 'updateSession', { id, event: merge('n', n) })
      peer.send(Array.from({ length: defaultLimits.maxBatchLength + 1 }, (_, n) => update(n)))
      const frame = await peer.until('an answer', () => peer.frames[1])
      refusalOf(frame as Incoming, 'invalid_request', 'a batch that is too long')
      same('the version', (await peer.result('getSession', { id }))?.version, 1)
      const longest = Array.from({ length: defaultLimits.maxBatchLength }, (_, n) =>
        request(n, 'getSession', { id }),
      )
      same('replies to the longest batch', (await peer.batch(longest)).size, longest.length)
    },
  },
  {
    name: 'batch-order',
    rule: 'Requests for one session take effect in the order in which they stand in a batch.',
    async run(scene) {
      const peer = await scene.open()
      const id = scene.freshId()
      const replies = await peer.batch([
        request(0, 'createSession', { machine: 'document', id }),
        ...[1, 2, 3, 4, 5].map((n) => request(n, 'updateSession', { id, event: { type: 'SET', state: n } })),
        request(6, 'getSession', { id }),
        request(7, 'deleteSession', { id }),
        request(8, 'getSession', { id }),
        request(9, 'updateSession', { id, event: { type: 'SET', state: 9 } }),
      ])
      same(
        'the versions that the updates made',
        [1, 2, 3, 4, 5].map((n) => resultOf<'updateSession'>(replies.get(n), `update ${n}`).applied),
        [2, 3, 4, 5, 6],
      )
      same('the state', resultOf<'getSession'>(replies.get(6), 'getSession')?.context, { state: 5 })
      same('deleteSession', resultOf(replies.get(7), 'deleteSession'), { deleted: true })
      same('getSession behind deleteSession', resultOf(replies.get(8), 'getSession'), null)
      refusalOf(replies.get(9), 'not_found', 'an update behind deleteSession')
    },
  },
  {
    name: 'order-across-batches',
    rule: 'Requests for one session take effect in the order sent, also across batches and single requests.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      const update = (n: number): { id?: unknown } =>
        request(n, 'updateSession', { id, event: { type: 'SET', state: n } })
      peer.send([update(1), update(2)])
      peer.send(update(3))
      peer.send([update(4), request(undefined, 'updateSession', { id, event: merge('x', 5) }), update(6)])
      peer.send(update(7))
      const applied: (number | undefined)[] = []
      for (const n of [1, 2, 3, 4, 6, 7])
        applied.push(resultOf<'updateSession'>(await peer.reply(n), `update ${n}`).applied)
      same('the versions that they made', applied, [2, 3, 4, 5, 7, 8])
      same('the state', (await peer.result('getSession', { id }))?.context, { state: 7 })
    },
  },
  {
    name: 'batch-wait-for',
    rule: 'waitFor is refused in a batch, at once, and the other requests run.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      const replies = await peer.batch([
        request(1, 'waitFor', { id, until: { done: true }, timeoutMs: 60_000 }),
        request(2, 'updateSession', { id, event: merge('a', 1) }),
      ])
      refusalOf(replies.get(1), 'invalid_request', 'waitFor in a batch')
      same('the other one', resultOf<'updateSession'>(replies.get(2), 'updateSession').applied, 2)
    },
  },
]
