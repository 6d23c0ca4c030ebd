import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TroupeError } from '../../actors/errors.ts'
import type { PresenceChange } from '../../actors/feed-message.ts'
import { PLAIN, PresenceWorld, PresentClient } from './support/presence-world.ts'
import type { PresenceProcess } from './support/presence-world.ts'

async function world(): Promise<{ w: PresenceWorld; p: PresenceProcess; q: PresenceProcess }> {
  const w = new PresenceWorld()
  return { w, p: await w.start(), q: await w.start() }
}

function clients(...names: string[]): PresentClient[] {
  return names.map((name) => new PresentClient(name))
}

describe('PR1 who asks for the members of a session', () => {
  it('gets all of them, itself too, and then what changes, on whichever process', async () => {
    const { w, p, q } = await world()
    const [a, b, c] = clients('a', 'b', 'c') as [PresentClient, PresentClient, PresentClient]
    const joined = p.join(a)
    await w.clock.pass(10)
    await joined
    expect(a.sees).toEqual(['a'])
    void q.join(b, false)
    void q.join(c)
    await w.clock.pass(100)
    expect([a.sees, b.sees, c.sees]).toEqual([['a', 'b', 'c'], null, ['a', 'b', 'c']])
    expect(c.story).toEqual([])
    q.leave(b)
    await w.clock.pass(100)
    expect(a.story.slice(0, 2).toSorted()).toEqual(['+b', '+c'])
    expect([a.story.slice(2), c.story]).toEqual([['-b'], ['-b']])
    p.leave(a)
    await w.clock.pass(100)
    expect(a.story).toHaveLength(3)
    expect(c.sees).toEqual(['c'])
  })

  it('gets all of them however long the session takes to be read', async () => {
    const { w, p, q } = await world()
    const [a, b] = clients('a', 'b') as [PresentClient, PresentClient]
    void p.join(a, false)
    await w.clock.pass(100)
    q.readMs = 1500
    const joined = q.join(b)
    await w.clock.pass(3500)
    await joined
    expect([b.sees, b.story]).toEqual([['a', 'b'], []])
  })

  it('hears of a change though its message was lost, and of those behind it in their order', async () => {
    const { w, p, q } = await world()
    const [a, b, c, d] = clients('a', 'b', 'c', 'd') as [
      PresentClient,
      PresentClient,
      PresentClient,
      PresentClient,
    ]
    void p.join(a)
    await w.clock.pass(100)
    let isLost = true
    p.onTheWay = (_, arrive) => (isLost ? undefined : arrive())
    void q.join(b)
    await w.clock.pass(100)
    isLost = false
    expect(a.story).toEqual([])
    // The next one shows that one is missing.
    void q.join(c, false)
    await w.clock.pass(120)
    expect(a.story).toEqual(['+b', '+c'])
    // The last one of all is noticed by the next beat.
    isLost = true
    void q.join(d, false)
    await w.clock.pass(60)
    isLost = false
    expect(a.story).toHaveLength(2)
    await w.clock.pass(3200)
    expect(a.story).toEqual(['+b', '+c', '+d'])
  })

  it('is told changes that came out of order in their order, without reading', async () => {
    const { w, p, q } = await world()
    const [a, b] = clients('a', 'b') as [PresentClient, PresentClient]
    void p.join(a)
    await w.clock.pass(100)
    const late: (() => void)[] = []
    p.onTheWay = (_, arrive) => void late.push(arrive)
    void q.join(b, false)
    await w.clock.pass(60)
    q.leave(b)
    await w.clock.pass(60)
    expect(late).toHaveLength(2)
    const reads = () => p.calls.flat().filter(({ wantsRoster }) => wantsRoster).length
    const before = reads()
    for (const arrive of late.reverse()) arrive()
    expect(a.story).toEqual(['+b', '-b'])
    expect(reads()).toBe(before)
  })

  it('may ask later, and may stop asking', async () => {
    const { w, p, q } = await world()
    const [a, b] = clients('a', 'b') as [PresentClient, PresentClient]
    void p.join(a, false)
    void q.join(b, false)
    await w.clock.pass(100)
    void p.join(a)
    await w.clock.pass(100)
    expect(a.sees).toEqual(['a', 'b'])
    void p.join(a, false)
    await w.clock.pass(100)
    q.leave(b)
    await w.clock.pass(100)
    expect(a.story).toEqual([])
    expect(w.store.tell('look', [look()])[0]?.roster).toHaveLength(1)
  })

  it('where the definition has no presence: is refused, and nothing is subscribed', async () => {
    const { w, p } = await world()
    const refused = p.join(new PresentClient('a'), true, PLAIN)
    await w.clock.pass(10)
    await expect(refused).rejects.toMatchObject({ code: 'invalid_params' })
    await w.clock.pass(5000)
    expect(p.fanOut.size).toBe(0)
    expect(p.calls).toEqual([])
  })

  it('while the store cannot be reached: gets an error; who did not ask is subscribed, and entered later', async () => {
    const { w, p, q } = await world()
    const [a, b, c] = clients('a', 'b', 'c') as [PresentClient, PresentClient, PresentClient]
    void q.join(c)
    await w.clock.pass(100)
    let isDown = true
    p.fails = () => (isDown ? 'before' : 'never')
    const refused = p.join(a)
    await p.join(b, false)
    await w.clock.pass(200)
    await expect(refused).rejects.toBeInstanceOf(TroupeError)
    await expect(refused).rejects.toMatchObject({ code: 'unavailable' })
    isDown = false
    await w.clock.pass(1200)
    expect(c.story).toEqual(['+b'])
  })
})

describe('PR2 when a process dies', () => {
  it('exactly its members leave, within 15 s', async () => {
    const { w, p, q } = await world()
    const r = await w.start()
    const [a, b, c, d] = clients('a', 'b', 'c', 'd') as [
      PresentClient,
      PresentClient,
      PresentClient,
      PresentClient,
    ]
    for (const [process, client] of [
      [p, a],
      [q, b],
      [q, c],
      [r, d],
    ] as const)
      void process.join(client)
    await w.clock.pass(7000)
    q.crash()
    await w.clock.pass(5000)
    expect(a.sees).toEqual(['a', 'b', 'c', 'd'])
    await w.clock.pass(9000)
    expect([a.sees, d.sees]).toEqual([
      ['a', 'd'],
      ['a', 'd'],
    ])
    expect(a.story.filter((each) => each.startsWith('-')).sort()).toEqual(['-b', '-c'])
  })

  it('one that leaves in order takes its members along at once', async () => {
    const { w, p, q } = await world()
    const [a, b, c] = clients('a', 'b', 'c') as [PresentClient, PresentClient, PresentClient]
    void p.join(a)
    void q.join(b)
    void q.join(c)
    await w.clock.pass(100)
    const before = q.calls.length
    await q.fanOut.depart()
    q.fanOut.stop()
    await w.clock.pass(10)
    expect(q.calls.length).toBe(before + 1)
    expect(a.sees).toEqual(['a'])
  })

  it('what the store has lost is entered again', async () => {
    const { w, p, q } = await world()
    const [a, b, c] = clients('a', 'b', 'c') as [PresentClient, PresentClient, PresentClient]
    void p.join(a)
    void q.join(b)
    void q.join(c, false)
    await w.clock.pass(1000)
    w.flush()
    await w.clock.pass(6500)
    expect([a.sees, b.sees]).toEqual([
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
    ])
    expect(w.store.tell('look', [look()])[0]?.roster).toHaveLength(3)
  })

  it('nobody leaves when no process could reach the store for a while', async () => {
    const { w, p, q } = await world()
    const [a, b] = clients('a', 'b') as [PresentClient, PresentClient]
    void p.join(a)
    void q.join(b)
    await w.clock.pass(1000)
    let isDown = true
    p.fails = q.fails = () => (isDown ? 'before' : 'never')
    await w.clock.pass(40_000)
    isDown = false
    await w.clock.pass(20_000)
    expect([a.story, b.story]).toEqual([['+b'], []])
    expect([a.sees, b.sees]).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ])
  })
})

describe('the cost', () => {
  it('PR3 of a session whose definition has no presence: no call, and no name for its subscribers', async () => {
    const { w, p } = await world()
    const client = Object.defineProperty(new PresentClient('a'), 'clientId', {
      get: () => expect.unreachable('it was given a name'),
    })
    await p.join(client, false, PLAIN)
    await w.clock.pass(10_000)
    p.leave(client, PLAIN)
    await w.clock.pass(10_000)
    expect(p.calls).toEqual([])
  })

  it('of a thousand clients that come at once: a few calls and messages', async () => {
    const { w, p, q } = await world()
    const watcher = new PresentClient('w')
    void q.join(watcher)
    await w.clock.pass(100)
    const changes: PresenceChange[] = []
    q.onTheWay = (change, arrive) => {
      changes.push(change)
      arrive()
    }
    for (let n = 0; n < 1000; n++) {
      void p.join(new PresentClient(`c${n}`), n % 10 === 0)
      if (n % 100 === 99) await w.clock.pass(10)
    }
    await w.clock.pass(200)
    expect(watcher.sees).toHaveLength(1001)
    expect(changes.length).toBeLessThan(6)
    expect(p.calls.length).toBeLessThan(10)
  })

  it('stands still once the last member has left', async () => {
    const { w, p } = await world()
    const a = new PresentClient('a')
    void p.join(a)
    await w.clock.pass(5000)
    expect(p.calls.length).toBeGreaterThan(1)
    p.leave(a)
    await w.clock.pass(1000)
    const before = p.calls.length
    await w.clock.pass(30_000)
    expect(p.calls.length).toBe(before)
  })
})

it('PR1 PR2 whatever is lost, late or down, in the end every list is the truth', async () => {
  const step = fc.record({
    kind: fc.constantFrom('join', 'join', 'leave', 'crash', 'flush', 'ask', 'interrupt'),
    process: fc.nat(2),
    client: fc.nat(7),
    ms: fc.constantFrom(0, 1, 10, 60, 400, 3000),
  })
  const way = fc.array(fc.constantFrom('well', 'well', 'well', 'lost', 'late'), {
    minLength: 1,
    maxLength: 20,
  })
  const calls = fc.array(fc.constantFrom('never', 'never', 'never', 'before', 'after'), {
    minLength: 1,
    maxLength: 20,
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 30 }),
      way,
      calls,
      async (steps, ways, fates) => {
        const w = new PresenceWorld()
        let [sent, called, isBroken] = [0, 0, true]
        const begin = async (): Promise<PresenceProcess> => {
          const process = await w.start()
          process.onTheWay = (_, arrive) => {
            const fate = isBroken ? ways[sent++ % ways.length] : 'well'
            if (fate === 'well') arrive()
            else if (fate === 'late') w.clock.setTimeout(arrive, 120)
          }
          process.fails = () => (isBroken ? (fates[called++ % fates.length] ?? 'never') : 'never')
          return process
        }
        const processes = [await begin(), await begin(), await begin()]
        const present = new Map<number, { client: PresentClient; process: PresenceProcess }>()
        let names = 0
        for (const { kind, process: index, client: slot, ms } of steps) {
          const process = processes[index] as PresenceProcess
          const there = present.get(slot)
          if (kind === 'join' && there === undefined) {
            const client = new PresentClient(`c${names++}`)
            present.set(slot, { client, process })
            process.join(client, slot % 2 === 0).catch(() => {
              if (present.get(slot)?.client === client) present.delete(slot)
            })
          } else if (kind === 'leave' && there !== undefined) {
            present.delete(slot)
            there.process.leave(there.client)
          } else if (kind === 'ask' && there !== undefined && !there.client.isAsking) {
            there.process.join(there.client, true).catch(() => {
              if (present.get(slot)?.client === there.client) present.delete(slot)
            })
          } else if (kind === 'flush') {
            w.flush()
          } else if (kind === 'interrupt') {
            process.feed.onInterrupted()
          } else if (kind === 'crash') {
            process.crash()
            for (const [taken, each] of present) if (each.process === process) present.delete(taken)
            processes[index] = await begin()
          }
          await w.clock.pass(ms)
        }
        isBroken = false
        await w.clock.pass(25_000)
        const truth = [...present.values()].map(({ client }) => client.clientId).sort()
        for (const { client } of present.values())
          if (client.list !== null) expect(client.sees).toEqual(truth)
        const { roster = [] } = w.store.tell('look', [look()])[0] ?? {}
        expect(roster.map((text) => (JSON.parse(text) as { client: string }).client).sort()).toEqual(truth)
      },
    ),
    { numRuns: 150 },
  )
}, 120_000)

function look() {
  return {
    ...{ id: 'room' as never, joined: new Map<string, string>(), left: [], isWhole: false },
    ...{ count: 0, wantsRoster: true },
  }
}
