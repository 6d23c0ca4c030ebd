/** createSession, getSession, updateSession, deleteSession: what each answers. */
import { check, same, shown } from '../broken.ts'
import { merge } from '../case.ts'
import type { Case } from '../case.ts'

export const sessionCases: readonly Case[] = [
  {
    name: 'create',
    rule: 'createSession answers with the view of a new session at version 1.',
    async run(scene) {
      const peer = await scene.open()
      const id = scene.freshId()
      const view = await peer.result('createSession', { machine: 'checkout', id, input: { currency: 'CHF' } })
      const { created, machine, version, status, value, tags, accepts, context } = view
      same(
        'members',
        { created, id: view.id, machine, version, status, value, tags },
        {
          created: true,
          id,
          machine: 'checkout',
          version: 1,
          status: 'active',
          value: 'shopping',
          tags: ['open'],
        },
      )
      same('accepts', new Set(accepts), new Set(['ADD', 'REMOVE', 'PAY', 'CANCEL']))
      check(shown(context).includes('CHF'), `the input has no effect: ${shown(context)}`)
      check(Math.abs(view.updatedAt - Date.now()) < 3_600_000, `updatedAt is ${view.updatedAt}`)
    },
  },
  {
    name: 'create-without-id',
    rule: 'Without id one is chosen, another one each time.',
    async run(scene) {
      const peer = await scene.open()
      const [one, two] = [
        await peer.result('createSession', { machine: 'document' }),
        await peer.result('createSession', { machine: 'document' }),
      ]
      check(one.id !== two.id, `both sessions are ${one.id}`)
      for (const { id } of [one, two]) await peer.result('deleteSession', { id })
    },
  },
  {
    name: 'create-exists',
    rule: 'If a session with this id exists, createSession is refused with session_exists.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      await peer.refused('session_exists', 'createSession', { machine: 'document', id })
      await peer.refused('session_exists', 'createSession', { machine: 'document', id, ifExists: 'error' })
    },
  },
  {
    name: 'create-if-exists-return',
    rule: 'With ifExists "return" the session that exists is answered, unchanged; one of another machine is not it.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      await peer.result('updateSession', { id, event: merge('a', 1) })
      const { created, version, context } = await peer.result('createSession', {
        machine: 'document',
        id,
        input: { b: 2 },
        ifExists: 'return',
      })
      same(
        'the answer',
        { created, version, context },
        { created: false, version: 2, context: { state: { a: 1 } } },
      )
      await peer.refused('session_exists', 'createSession', { machine: 'checkout', id, ifExists: 'return' })
      const fresh = await peer.result('createSession', {
        machine: 'document',
        id: scene.freshId(),
        ifExists: 'return',
      })
      same('created where there was none', fresh.created, true)
    },
  },
  {
    name: 'create-key',
    rule: 'createSession with a key and no id makes one session, however often it is sent; the key for other content is key_reused.',
    async run(scene) {
      const peer = await scene.open()
      const key = scene.freshId()
      const first = await peer.result('createSession', { machine: 'document', input: { a: 1 }, key })
      await peer.result('updateSession', { id: first.id, event: merge('b', 2) })
      const again = await peer.result('createSession', { machine: 'document', input: { a: 1 }, key })
      same(
        'id and state of the second answer',
        [again.id, again.context],
        [first.id, { state: { a: 1, b: 2 } }],
      )
      await peer.refused('key_reused', 'createSession', { machine: 'document', input: { a: 2 }, key })
      await peer.result('deleteSession', { id: first.id })
    },
  },
  {
    name: 'create-key-and-id',
    rule: 'createSession with id and key, sent again with both, is no conflict.',
    async run(scene) {
      const peer = await scene.open()
      const params = { machine: 'document', id: scene.freshId(), key: 'create' }
      const first = await peer.result('createSession', params)
      const again = await peer.result('createSession', params)
      same('position of the second answer', [again.epoch, again.version], [first.epoch, 1])
      await peer.refused('session_exists', 'createSession', { ...params, key: 'another' })
    },
  },
  {
    name: 'create-unknown-machine',
    rule: 'A machine that is not served is refused with unknown_machine.',
    async run(scene) {
      const peer = await scene.open()
      for (const machine of ['no-such-machine', 'constructor', '__proto__'])
        await peer.refused('unknown_machine', 'createSession', { machine, id: scene.freshId() })
    },
  },
  {
    name: 'create-invalid-input',
    rule: 'Input that does not fit the machine is refused with event_invalid, the path is named, and nothing is made.',
    async run(scene) {
      const peer = await scene.open()
      const id = scene.freshId()
      const { message } = await peer.refused('event_invalid', 'createSession', {
        machine: 'ticket',
        id,
        input: { customer: 'Ada' },
      })
      check(message.includes('subject'), `the message does not name subject: ${message}`)
      same('getSession', await peer.result('getSession', { id }), null)
    },
  },
  {
    name: 'get',
    rule: 'getSession answers the view as it is now, on every connection, and null where there is no session.',
    async run(scene) {
      const [one, two] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(one)
      same('a session that there is not', await two.result('getSession', { id: scene.freshId() }), null)
      for (let n = 1; n <= 10; n++) {
        const { version } = await one.result('updateSession', { id, event: { type: 'SET', state: n } })
        const view = await two.result('getSession', { id })
        same('version and state', [view?.version, view?.context], [version, { state: n }])
      }
    },
  },
  {
    name: 'update',
    rule: 'updateSession sends the event to the machine and answers with the version that it made.',
    async run(scene) {
      const peer = await scene.open()
      const { id, epoch } = await peer.result('createSession', { machine: 'checkout', id: scene.freshId() })
      const add = { type: 'ADD', sku: 'book', quantity: 2, unitPrice: 990 }
      const view = await peer.result('updateSession', { id, event: add })
      same('the answer', [view.outcome, view.applied, view.version, view.epoch], ['committed', 2, 2, epoch])
      const paying = await peer.result('updateSession', { id, event: { type: 'PAY' } })
      same('state and version', [paying.value, paying.version], ['paying', 3])
    },
  },
  {
    name: 'update-nested',
    rule: 'value is an object for nested and parallel states, and tags are those of all of them.',
    async run(scene) {
      const peer = await scene.open()
      const input = { subject: 'It hums', customer: 'Ada' }
      const { id } = await peer.result('createSession', { machine: 'ticket', id: scene.freshId(), input })
      const { value, tags } = await peer.result('updateSession', { id, event: { type: 'ESCALATE' } })
      same('value', value, { alive: { work: 'open', priority: 'high' } })
      same('tags', new Set(tags), new Set(['needsAgent', 'urgent']))
    },
  },
  {
    name: 'update-unchanged',
    rule: 'An event that a guard refuses is unchanged: no version, and no applied.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await peer.result('createSession', { machine: 'checkout', id: scene.freshId() })
      const view = await peer.result('updateSession', { id, event: { type: 'PAY' } })
      same('the answer', [view.outcome, 'applied' in view, view.version], ['unchanged', false, 1])
      const paid = await peer.result('updateSession', { id, event: { type: 'PAID', reference: 'r' } })
      same('an event that the state does not handle', [paid.outcome, paid.version], ['unchanged', 1])
    },
  },
  {
    name: 'update-invalid',
    rule: 'An event that does not fit the machine is refused with event_invalid, the path is named, and nothing changes.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await peer.result('createSession', { machine: 'checkout', id: scene.freshId() })
      const add = { type: 'ADD', sku: 'book', quantity: 1, unitPrice: 1 }
      for (const [path, event] of [
        ['quantity', { ...add, quantity: 0 }],
        ['unitPrice', { ...add, unitPrice: 1.5 }],
        ['sku', { ...add, sku: '' }],
        ['more', { ...add, more: 1 }],
        ['type', { type: 'NO_SUCH_EVENT' }],
      ] as const) {
        const { message } = await peer.refused('event_invalid', 'updateSession', { id, event })
        check(message.includes(path), `${shown(event)}: the message does not name ${path}: ${message}`)
      }
      same('the version', (await peer.result('getSession', { id }))?.version, 1)
    },
  },
  {
    name: 'update-reserved',
    rule: 'Event types of the machine and of the runtime are refused with event_reserved, and nothing changes.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await peer.result('createSession', { machine: 'match', id: scene.freshId() })
      const types = [
        '*',
        'xstate.stop',
        'xstate.init',
        'xstate.done.actor.x',
        '@xstate.init',
        'troupe.anything',
      ]
      for (const type of types) await peer.refused('event_reserved', 'updateSession', { id, event: { type } })
      const view = await peer.result('getSession', { id })
      same('the session', [view?.version, view?.status, view?.value], [1, 'active', 'lobby'])
    },
  },
  {
    name: 'update-not-found',
    rule: 'updateSession and subscribe of a session that there is not are refused with not_found.',
    async run(scene) {
      const peer = await scene.open()
      await peer.refused('not_found', 'updateSession', { id: scene.freshId(), event: merge('a', 1) })
      await peer.refused('not_found', 'subscribe', { id: scene.freshId() })
      await peer.refused('not_found', 'waitFor', {
        id: scene.freshId(),
        until: { done: true },
        timeoutMs: 1000,
      })
    },
  },
  {
    name: 'session-done',
    rule: 'A session whose machine has reached its end is done, has its output, and refuses events with session_ended.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await peer.result('createSession', { machine: 'match', id: scene.freshId() })
      for (const player of ['a', 'b'])
        await peer.result('updateSession', { id, event: { type: 'JOIN', player } })
      const view = await peer.result('updateSession', { id, event: { type: 'LEAVE', player: 'a' } })
      same(
        'status, value, output, accepts',
        [view.status, view.value, view.output, view.accepts],
        ['done', 'finished', { winner: 'b' }, []],
      )
      await peer.refused('session_ended', 'updateSession', { id, event: { type: 'JOIN', player: 'c' } })
      same('getSession', (await peer.result('getSession', { id }))?.version, view.version)
    },
  },
  {
    name: 'delete',
    rule: 'deleteSession says whether there was a session; afterwards there is none.',
    async run(scene) {
      const peer = await scene.open()
      const { id } = await scene.document(peer)
      same('the first', await peer.result('deleteSession', { id }), { deleted: true })
      same('the second', await peer.result('deleteSession', { id }), { deleted: false })
      same('getSession', await peer.result('getSession', { id }), null)
      await peer.refused('not_found', 'updateSession', { id, event: merge('a', 1) })
    },
  },
  {
    name: 'state-kept',
    rule: 'JSON is kept as it was sent, and two writers do not overwrite each other.',
    async run(scene) {
      const [one, two] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(one)
      const state = {
        text: 'ü😀\u2028"\\',
        empty: {},
        list: [1, -0.5, 1e21, null, [], ''],
        constructor: 1,
        toString: { a: null },
      }
      await one.result('updateSession', { id, event: { type: 'SET', state: { kept: state } } })
      const others = Array.from({ length: 20 }, (_, n) => n)
      await Promise.all(
        others.map((n) =>
          (n % 2 === 0 ? one : two).result('updateSession', { id, event: merge(`n${n}`, n) }),
        ),
      )
      const view = await two.result('getSession', { id })
      const wanted = { state: { kept: state, ...Object.fromEntries(others.map((n) => [`n${n}`, n])) } }
      same('the state', JSON.parse(JSON.stringify(view?.context)), JSON.parse(JSON.stringify(wanted)))
      same('the version', view?.version, 22)
    },
  },
]
