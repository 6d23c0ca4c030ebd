import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AuthorizeRequest } from '../../actors/authorization.ts'
import type { Caller } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'
import { NOBODY, TestCluster, callerNamed, sid, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { makeRecord } from '../transport/support/parts.ts'
import { Gate } from './host-gate.ts'
import { counterSession } from './host-machines.ts'
import { overriding } from './overriding.ts'
import { roomRule, roomSession } from './room-session.ts'

const ada = callerNamed('ada')
const bob = callerNamed('bob')
const eve = callerNamed('eve')
const trusted: Caller = { principal: null, origin: null, isTrusted: true }
const FORBIDDEN = { code: 'forbidden' }

let cluster: TestCluster
let p: TestProcess
/** Changes sessions behind the back of the one under test. */
let other: TestProcess

beforeAll(async () => {
  cluster = new TestCluster()
  const definitions = [roomSession(), counterSession()]
  p = await cluster.process({ definitions })
  other = await cluster.process({ definitions })
})
afterAll(() => cluster.close())

async function room(members = ['bob'], host = p.host): Promise<SessionId> {
  const input = { owner: 'ada', members }
  return (await host.create({ machine: 'room', input }, ada)).record.id
}

/** As the feed brings it. */
const recordOf = (id: SessionId) => ({ ...makeRecord(id, 2), machine: 'room' })
const say = (id: SessionId, caller: Caller, more: { key?: string; ifVersion?: number } = {}, host = p.host) =>
  host.update({ id, event: { type: 'SAY', text: 'hi' }, ...more }, caller)
const drop = (id: SessionId, who: string, host = p.host) =>
  host.update({ id, event: { type: 'DROP', who } }, ada)

describe('a definition with a rule', () => {
  it('TR2 is asked for each operation, before anything is done or told', async () => {
    const create = { machine: 'room', input: { owner: 'ada' } }
    await expect(p.host.create(create, eve)).rejects.toMatchObject(FORBIDDEN)
    const id = await room()
    await expect(p.host.get(id, eve)).rejects.toMatchObject(FORBIDDEN)
    await expect(p.host.get(id)).rejects.toMatchObject(FORBIDDEN)
    await expect(say(id, eve)).rejects.toMatchObject(FORBIDDEN)
    await expect(say(id, eve, { ifVersion: 9 })).rejects.toMatchObject(FORBIDDEN)
    await expect(p.host.delete(id, bob)).rejects.toMatchObject(FORBIDDEN)
    await expect(p.host.broadcast(id, 'hello', eve)).rejects.toMatchObject(FORBIDDEN)
    await expect(p.host.broadcast(id, 'secret', bob)).rejects.toMatchObject(FORBIDDEN)
    expect(await p.host.get(id, bob)).toMatchObject({ version: 1 })
    await p.host.broadcast(id, 'hello', bob)
    expect(await say(id, bob)).toMatchObject({ outcome: 'committed', applied: 2 })
    expect(await p.host.delete(id, ada)).toBe(true)
    expect(await p.host.get(id, eve)).toBeNull()
    expect(await p.host.delete(id, eve)).toBe(false)
  })

  it('TR2 forbids to find a session that exists by creating it', async () => {
    const id = await room()
    const again = {
      machine: 'room',
      id: String(id),
      input: { owner: 'eve' },
      ifExists: 'return',
    } as const
    await expect(p.host.create(again, eve)).rejects.toMatchObject(FORBIDDEN)
  })

  it('does not ask for the server’s own calls', async () => {
    const { record } = await p.host.create({ machine: 'room', input: { owner: 'ada' } }, trusted)
    expect(await say(record.id, trusted)).toMatchObject({ outcome: 'committed' })
    expect(await p.host.delete(record.id, trusted)).toBe(true)
  })

  it('TR2 tells nobody else why an event cannot be applied', async () => {
    const id = await room()
    await p.host.update({ id, event: { type: 'CLOSE' } }, ada)
    await expect(say(id, eve)).rejects.toMatchObject(FORBIDDEN)
    await expect(say(id, bob)).rejects.toMatchObject({ code: 'session_ended' })
  })

  it('CM7 TR2 judges an event by the state that it is applied to, also within one turn', async () => {
    const id = await room()
    const results = await Promise.allSettled([say(id, bob), drop(id, 'bob'), say(id, bob)])
    expect(results).toMatchObject([
      // What others made of it in the same turn is not shown in the reply.
      { value: { applied: 2, record: { version: 2 } } },
      { value: { applied: 3 } },
      { reason: FORBIDDEN },
    ])
  })

  it('CM7 TR2 asks again when another process was faster', async () => {
    const id = await room()
    await say(id, bob)
    await drop(id, 'bob', other.host)
    // Warm here is a state in which bob is a member.
    await expect(say(id, bob)).rejects.toMatchObject(FORBIDDEN)
    const late = await room([])
    await expect(say(late, bob)).rejects.toMatchObject(FORBIDDEN)
    await other.host.update({ id: late, event: { type: 'ADD', who: 'bob' } }, ada)
    // And here one in which he is none: `forbidden` must not rest on that.
    expect(await say(late, bob)).toMatchObject({ outcome: 'committed', applied: 3 })
  })

  it('TR2 does not delete what has changed since it was permitted', async () => {
    const gate = new Gate()
    const rule: typeof roomRule = (request) => {
      if (request.action !== 'delete') return roomRule(request)
      return request.session()?.context.said.length === 0
    }
    const slow = await cluster.process({ definitions: [roomSession(rule)], wrap: gate.wrap })
    const id = await room()
    gate.shut()
    const deletion = slow.host.delete(id, ada)
    deletion.catch(() => undefined)
    await until(() => gate.waiting > 0)
    await say(id, bob)
    gate.open()
    await expect(deletion).rejects.toMatchObject(FORBIDDEN)
    expect(await p.host.get(id, bob)).toMatchObject({ version: 2 })
  })

  it('TR2 hides from whoever lost the right what became of a session, but tells that it was done', async () => {
    const id = await room()
    expect(await say(id, bob, { key: 'k' })).toMatchObject({ applied: 2 })
    await drop(id, 'bob')
    await expect(say(id, bob, { key: 'k' })).rejects.toMatchObject({
      code: 'forbidden',
      details: { outcome: 'duplicate', applied: 2 },
    })
  })

  it('TR2 that throws, or returns anything else than true, forbids, and that is logged', async () => {
    const answers: unknown[] = [true, 1, undefined, Promise.resolve(true), new Error('no such table'), false]
    const rule = ({ action }: AuthorizeRequest): boolean => {
      if (action === 'create') return true
      const answer = answers.shift()
      if (answer instanceof Error) throw answer
      return answer as boolean
    }
    const q = await cluster.process({ definitions: [roomSession(rule as typeof roomRule, 'odd')] })
    const { record } = await q.host.create({ machine: 'odd', input: { owner: 'ada' } }, NOBODY)
    expect(await q.host.get(record.id, ada)).toMatchObject({ version: 1 })
    for (let n = answers.length; n > 0; n--)
      await expect(q.host.get(record.id, ada)).rejects.toMatchObject(FORBIDDEN)
    const reasons = q.log.lines
      .filter(({ level }) => level === 'error')
      .map(({ details }) => (details as { reason: string }).reason)
    expect(reasons).toEqual([
      expect.stringContaining('number'),
      expect.stringContaining('undefined'),
      expect.stringContaining('promise'),
      'no such table',
    ])
  })

  it('costs the sessions of others no read', async () => {
    const alone = new TestCluster()
    try {
      const reads: SessionId[] = []
      const q = await alone.process({
        definitions: [counterSession()],
        wrap: (store) =>
          overriding(store, {
            read: (id: SessionId) => {
              reads.push(id)
              return store.read(id)
            },
          }),
      })
      const { record } = await q.host.create({ machine: 'counter' }, NOBODY)
      await q.host.broadcast(record.id, 'hello')
      await q.host.delete(record.id, eve)
      expect(reads).toEqual([])
    } finally {
      await alone.close()
    }
  })

  it('TR2 is not passed by on a process that does not serve the definition', async () => {
    const q = await cluster.process({ definitions: [counterSession()] })
    const id = await room()
    const unknown = { code: 'unknown_machine_version', details: { elsewhere: true } }
    for (const call of [
      () => q.host.delete(id, eve),
      () => q.host.broadcast(id, 'hello', eve),
      () => q.host.get(id, eve).then((record) => record && q.host.encodeView(record, null)),
    ])
      await expect(call()).rejects.toMatchObject(unknown)
    expect(() => q.host.screen(recordOf(id))).toThrow('not served here')
    expect(await p.host.get(id, ada)).toMatchObject({ version: 1 })
    expect(await q.host.delete((await q.host.create({ machine: 'counter' }, eve)).record.id, eve)).toBe(true)
  })
})

describe('an access token', () => {
  const bounded = (actions: readonly ('get' | 'update')[], session: string): Caller => ({
    principal: { id: 'ada', access: { session: sid(session), actions } },
    origin: null,
  })

  it('TR2 lets its holder do what it is for, and nothing else', async () => {
    const [id, elsewhere] = [await room(), await room()]
    const reader = bounded(['get'], id)
    expect(await p.host.get(id, reader)).toMatchObject({ version: 1 })
    for (const call of [
      () => p.host.get(elsewhere, reader),
      () => say(id, reader),
      () => p.host.delete(id, reader),
      () => p.host.broadcast(id, 'x', reader),
      () => p.host.create({ machine: 'counter' }, reader),
    ])
      await expect(call()).rejects.toMatchObject(FORBIDDEN)
    expect(await say(id, bounded(['get', 'update'], id))).toMatchObject({ outcome: 'committed' })
  })
})
