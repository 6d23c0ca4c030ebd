/** waitFor. */
import { check, same } from '../broken.ts'
import { merge } from '../case.ts'
import type { Case, Scene } from '../case.ts'
import { refusalOf, resultOf } from '../peer.ts'
import { request } from '../wire.ts'

const SOON = 4000

async function match(scene: Scene) {
  const [waiting, acting] = [await scene.open(), await scene.open()]
  const { id } = await acting.result('createSession', { machine: 'match', id: scene.freshId() })
  const join = (player: string) => acting.result('updateSession', { id, event: { type: 'JOIN', player } })
  const leave = (player: string) => acting.result('updateSession', { id, event: { type: 'LEAVE', player } })
  return { waiting, acting, id, join, leave }
}

export const waitingCases: readonly Case[] = [
  {
    name: 'wait-at-once',
    rule: 'waitFor answers at once if it is so already.',
    async run(scene) {
      const { waiting, id } = await match(scene)
      for (const until of [{ tag: 'joinable' }, { value: 'lobby' }])
        same('value', (await waiting.result('waitFor', { id, until, timeoutMs: SOON })).value, 'lobby')
    },
  },
  {
    name: 'wait-value-and-done',
    rule: 'waitFor answers with the view when the session is in the state, or is done, whoever brought it there.',
    async run(scene) {
      const { waiting, id, join, leave } = await match(scene)
      waiting.send(request('value', 'waitFor', { id, until: { value: 'playing' }, timeoutMs: SOON }))
      waiting.send(request('done', 'waitFor', { id, until: { done: true }, timeoutMs: SOON }))
      await join('a')
      await waiting.quiet()
      check(
        !waiting.messages.some((message) => message.id === 'value'),
        'waitFor was answered before its time',
      )
      await join('b')
      same('value', resultOf<'waitFor'>(await waiting.reply('value'), 'waitFor').value, 'playing')
      await leave('a')
      const done = resultOf<'waitFor'>(await waiting.reply('done'), 'waitFor')
      same('status and output', [done.status, done.output], ['done', { winner: 'b' }])
    },
  },
  {
    name: 'wait-tag-and-part',
    rule: 'waitFor takes a tag, and an object of states as far as they matter.',
    async run(scene) {
      const [waiting, acting] = [await scene.open(), await scene.open()]
      const input = { subject: 'It hums', customer: 'Ada' }
      const { id } = await acting.result('createSession', { machine: 'ticket', id: scene.freshId(), input })
      waiting.send(request('tag', 'waitFor', { id, until: { tag: 'needsCustomer' }, timeoutMs: SOON }))
      const value = { alive: { priority: 'high' } }
      waiting.send(request('part', 'waitFor', { id, until: { value }, timeoutMs: SOON }))
      await acting.result('updateSession', {
        id,
        event: { type: 'REPLY', from: 'agent', text: 'Since when?' },
      })
      const tagged = resultOf<'waitFor'>(await waiting.reply('tag'), 'waitFor')
      check(tagged.tags.includes('needsCustomer'), 'the view has not the tag')
      await acting.result('updateSession', { id, event: { type: 'ESCALATE' } })
      resultOf(await waiting.reply('part'), 'waitFor')
    },
  },
  {
    name: 'wait-timeout',
    rule: 'What does not come in time is timeout, not before its time, and without an unknown outcome.',
    async run(scene) {
      const { waiting, id } = await match(scene)
      const began = Date.now()
      const { data } = await waiting.refused('timeout', 'waitFor', {
        id,
        until: { done: true },
        timeoutMs: 300,
      })
      check(Date.now() - began >= 290, `after ${Date.now() - began} ms`)
      check(data?.['outcome'] === undefined, 'a wait that ran out has no outcome')
    },
  },
  {
    name: 'wait-impossible',
    rule: 'What can never come true is refused: a state or tag that the machine has not, and anything of a session that has ended.',
    async run(scene) {
      const { waiting, id, join, leave } = await match(scene)
      for (const until of [{ value: 'no-such-state' }, { tag: 'no-such-tag' }])
        await waiting.refused('invalid_params', 'waitFor', { id, until, timeoutMs: SOON })
      await join('a')
      await join('b')
      waiting.send(request('never', 'waitFor', { id, until: { tag: 'joinable' }, timeoutMs: SOON }))
      await leave('a')
      refusalOf(await waiting.reply('never'), 'session_ended', 'waiting for a state that cannot come again')
      await waiting.refused('session_ended', 'waitFor', { id, until: { value: 'lobby' }, timeoutMs: SOON })
    },
  },
  {
    name: 'wait-deleted',
    rule: 'Waiting for a session that is deleted meanwhile ends with not_found.',
    async run(scene) {
      const { waiting, acting, id } = await match(scene)
      waiting.send(request('gone', 'waitFor', { id, until: { done: true }, timeoutMs: SOON }))
      await waiting.quiet()
      await acting.result('deleteSession', { id })
      refusalOf(await waiting.reply('gone'), 'not_found', 'waiting for a session that was deleted')
    },
  },
  {
    name: 'wait-no-subscription',
    rule: 'waitFor is no subscription: it brings no notifications.',
    async run(scene) {
      const { waiting, acting, id, join } = await match(scene)
      await waiting.refused('timeout', 'waitFor', { id, until: { done: true }, timeoutMs: 50 })
      await join('a')
      await acting.result('broadcastToSession', { id, message: merge('a', 1) })
      await waiting.quiet()
      same(
        'notifications',
        waiting.messages.filter(({ method }) => method !== undefined),
        [],
      )
    },
  },
]
