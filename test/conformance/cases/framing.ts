/** JSON-RPC 2.0: what is a request, and how each one is answered. */
import { MAX_DEPTH } from '../../../transport/protocol/messages.ts'
import { check, same, shown } from '../broken.ts'
import { merge } from '../case.ts'
import type { Case } from '../case.ts'
import { refusalOf, resultOf } from '../peer.ts'
import type { Peer } from '../peer.ts'
import { request } from '../wire.ts'

/** What is refused has a null id where none could be read, so such replies are told apart by sending one at a time. */
async function refusedFrame(peer: Peer, frame: unknown, word: string, id: unknown = null): Promise<void> {
  const before = peer.messages.length
  peer.send(frame)
  const reply = await peer.until(`the answer to ${shown(frame)}`, () => peer.messages.slice(before)[0])
  refusalOf(reply, word, shown(frame))
  same(`the id in the answer to ${shown(frame)}`, reply.id, id)
}

function nested(levels: number): string {
  return `${'['.repeat(levels)}${']'.repeat(levels)}`
}

export const framingCases: readonly Case[] = [
  {
    name: 'id-kept',
    rule: 'A reply carries the id of its request as it was sent, a number or a text.',
    async run(scene) {
      const peer = await scene.open()
      for (const id of [0, -7, 1.5, 2 ** 53 - 1, '', 'null', '1', 'a"\\\n\u0000ü😀']) {
        peer.send(request(id, 'getSession', { id: scene.freshId() }))
        resultOf(await peer.reply(id), `a request with the id ${shown(id)}`)
      }
    },
  },
  {
    name: 'id-null',
    rule: 'A request whose id is null is answered, with that id.',
    async run(scene) {
      const peer = await scene.open()
      peer.send(request(null, 'getSession', { id: scene.freshId() }))
      same('the result', resultOf(await peer.reply(null), 'getSession'), null)
    },
  },
  {
    name: 'no-id-no-answer',
    rule: 'A request without id runs and is not answered, not even with an error.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      const before = peer.frames.length
      peer.send(request(undefined, 'updateSession', { id, event: merge('silent', true) }))
      peer.send(request(undefined, 'updateSession', { id, event: { type: 'NO_SUCH_EVENT' } }))
      peer.send(request(undefined, 'noSuchMethod', {}))
      peer.send(request(undefined, 'updateSession', { wrong: 'params' }))
      const view = await peer.result('getSession', { id })
      await peer.quiet()
      same('the version after an update without id', view?.version, 2)
      same('how many frames came (one for getSession, one for rpc.discover)', peer.frames.length - before, 2)
    },
  },
  {
    name: 'id-inexact',
    rule: 'A number as id that a double does not hold exactly is refused.',
    async run(scene) {
      const peer = await scene.open()
      for (const id of ['9007199254740993', '12345678901234567890', '1e999'])
        await refusedFrame(peer, `{"jsonrpc":"2.0","id":${id},"method":"rpc.discover"}`, 'invalid_request')
    },
  },
  {
    name: 'id-of-wrong-kind',
    rule: 'An id is a text, a number or null, and nothing else.',
    async run(scene) {
      const peer = await scene.open()
      for (const id of ['true', '{}', '[1]'])
        await refusedFrame(peer, `{"jsonrpc":"2.0","id":${id},"method":"rpc.discover"}`, 'invalid_request')
    },
  },
  {
    name: 'not-json',
    rule: 'A frame that is not JSON is answered with parse_error and a null id, and the connection stays.',
    async run(scene) {
      const peer = await scene.open()
      for (const text of ['', 'hello', '{"jsonrpc":"2.0","id":1,', "{'id':1}", '[{"id":1}', '\u0000'])
        await refusedFrame(peer, text, 'parse_error')
      await peer.result('rpc.discover', {})
    },
  },
  {
    name: 'not-a-request',
    rule: 'JSON that is no request is answered with invalid_request, and with its id as far as there is one.',
    async run(scene) {
      const peer = await scene.open()
      for (const frame of ['1', '"text"', 'null', 'true', '{}'])
        await refusedFrame(peer, frame, 'invalid_request')
      for (const members of [
        { method: 'rpc.discover' },
        { jsonrpc: '1.0', method: 'rpc.discover' },
        { jsonrpc: 2, method: 'rpc.discover' },
        { jsonrpc: '2.0' },
        { jsonrpc: '2.0', method: 7 },
        { jsonrpc: '2.0', method: 'rpc.discover', params: null },
        { jsonrpc: '2.0', method: 'rpc.discover', params: 'text' },
      ])
        await refusedFrame(peer, { id: 4, ...members }, 'invalid_request', 4)
    },
  },
  {
    name: 'too-deep',
    rule: `A frame may nest ${MAX_DEPTH} levels and no more.`,
    async run(scene) {
      const peer = await scene.open()
      const frame = (id: number, levels: number): string =>
        `{"jsonrpc":"2.0","id":${id},"method":"broadcastToSession","params":{"id":"${scene.freshId()}","message":${nested(levels)}}}`
      peer.send(frame(1, MAX_DEPTH - 2))
      resultOf(await peer.reply(1), `a frame of ${MAX_DEPTH} levels`)
      await refusedFrame(peer, frame(2, MAX_DEPTH - 1), 'parse_error')
      await refusedFrame(peer, '['.repeat(100_000), 'parse_error')
      // Brackets in texts are no levels.
      peer.send(request(3, 'broadcastToSession', { id: scene.freshId(), message: `"\\"${'['.repeat(100)}` }))
      resultOf(await peer.reply(3), 'a frame with brackets in a text')
    },
  },
  {
    name: 'proto-refused',
    rule: 'A member named __proto__ is refused wherever it stands, and however it is written; as a value it is a text.',
    async run(scene) {
      const peer = await scene.open()
      const frame = (message: string): string =>
        `{"jsonrpc":"2.0","id":1,"method":"broadcastToSession","params":{"id":"${scene.freshId()}","message":${message}}}`
      for (const message of ['{"__proto__":{"a":1}}', '[{"a":{"__proto__":1}}]', '{"\\u005f_proto__":1}'])
        await refusedFrame(peer, frame(message), 'invalid_request', 1)
      await peer.result('broadcastToSession', { id: scene.freshId(), message: '__proto__' })
    },
  },
  {
    name: 'unknown-method',
    rule: 'A method that there is not is refused with method_not_found.',
    async run(scene) {
      const peer = await scene.open()
      for (const method of [
        'noSuchMethod',
        'GetSession',
        '',
        'constructor',
        'toString',
        '__proto__',
        'rpc.other',
      ])
        await peer.refused('method_not_found', method, {})
    },
  },
  {
    name: 'params-by-name',
    rule: 'Params are given by name: an array is refused with invalid_params.',
    async run(scene) {
      const peer = await scene.open()
      await peer.refused('invalid_params', 'getSession', [scene.freshId()])
    },
  },
  {
    name: 'params-named',
    rule: 'Params that do not fit are refused with invalid_params, and the message names the path.',
    async run(scene) {
      const peer = await scene.open()
      const id = scene.freshId()
      const wrong: readonly (readonly [path: string, method: string, params: object])[] = [
        ['id', 'getSession', {}],
        ['id', 'getSession', { id: 7 }],
        ['event.type', 'updateSession', { id, event: {} }],
        ['event.type', 'updateSession', { id, event: { type: 7 } }],
        ['event', 'updateSession', { id, event: 'SET' }],
        ['ifVersion', 'updateSession', { id, event: merge('a', 1), ifVersion: 0 }],
        ['key', 'updateSession', { id, event: merge('a', 1), key: '' }],
        ['key', 'updateSession', { id, event: merge('a', 1), key: 'k'.repeat(257) }],
        ['machine', 'createSession', { id }],
        ['ifExists', 'createSession', { machine: 'document', id, ifExists: 'maybe' }],
        ['message', 'broadcastToSession', { id }],
        ['since.epoch', 'subscribe', { id, since: { epoch: 7, version: 1 } }],
        ['timeoutMs', 'waitFor', { id, until: { done: true }, timeoutMs: 0 }],
        ['until', 'waitFor', { id, until: { done: false }, timeoutMs: 10 }],
      ]
      for (const [path, method, params] of wrong) {
        const { message } = await peer.refused('invalid_params', method, params)
        check(
          message.includes(path),
          `${method} ${shown(params)}: the message does not name ${path}: ${message}`,
        )
      }
      same('what was made of all this', await peer.result('getSession', { id }), null)
    },
  },
  {
    name: 'params-unknown',
    rule: 'Unknown members of params are refused and named: a misspelt ifVersion must not be ignored.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      const params = { id, event: merge('a', 1), ifversion: 7 }
      const { message } = await peer.refused('invalid_params', 'updateSession', params)
      check(message.includes('ifversion'), `the message does not name ifversion: ${message}`)
      same('the version', (await peer.result('getSession', { id }))?.version, 1)
    },
  },
  {
    name: 'id-of-session',
    rule: 'The id of a session has 1 to 128 characters of A-Z a-z 0-9 _ . : @ ~ - and begins with a letter or digit.',
    async run(scene) {
      const peer = await scene.open()
      for (const id of ['', '-a', '.a', 'a b', 'a/b', 'ä', 'a\n', 'a\u0000', `a${'b'.repeat(128)}`, '{a}'])
        await peer.refused('invalid_params', 'getSession', { id })
      for (const id of ['a', '7', `A_.:@~-${scene.freshId()}`, 'x'.repeat(128)])
        await peer.result('getSession', { id })
    },
  },
]
