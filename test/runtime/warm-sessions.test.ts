import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { SessionId } from '../../actors/session.ts'
import { WarmSessions } from '../../runtime/host/warm-sessions.ts'
import type { WarmSession } from '../../runtime/host/warm-sessions.ts'
import { makeRecord } from '../transport/support/parts.ts'

const id = (name: string | number): SessionId => `s${name}` as SessionId
const warm = (name: string | number, version = 1): WarmSession => ({
  record: makeRecord(id(name), version),
  live: null,
})
const versionOf = (sessions: WarmSessions, name: string | number): number | undefined =>
  sessions.get(id(name))?.record.version

it('keeps as many of those used last as it is to, and at most twice as many', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.array(fc.nat(20), { maxLength: 200 }), (size, uses) => {
      const sessions = new WarmSessions(size)
      let recent: number[] = []
      for (const name of uses) {
        if (sessions.get(id(name)) === null) sessions.set(warm(name))
        recent = [name, ...recent.filter((each) => each !== name)]
        // Looking changes what was used last: only what surely has to be there is looked at, oldest first.
        for (const each of recent.slice(0, size).reverse()) expect(versionOf(sessions, each)).toBe(1)
      }
      const there = Array.from({ length: 21 }, (_, name) => name).filter((name) => isWarm(sessions, name))
      expect(there.length).toBeLessThanOrEqual(2 * size)
    }),
  )
})

/** Without using it. */
function isWarm(sessions: WarmSessions, name: number): boolean {
  const { record } = warm(name)
  return sessions.shared(record) !== record
}

it('a session of the older generation is deleted, moved on and set anew like any other', () => {
  const sessions = new WarmSessions(2)
  for (const name of ['a', 'b', 'c']) sessions.set(warm(name))
  // `a` and `b` are the older ones now.
  sessions.observe(warm('a', 2).record)
  expect(versionOf(sessions, 'a')).toBe(2)
  sessions.observe(warm('a', 1).record)
  expect(versionOf(sessions, 'a')).toBe(2)
  sessions.delete(id('b'))
  expect(versionOf(sessions, 'b')).toBeUndefined()
  sessions.set(warm('a', 3))
  expect(versionOf(sessions, 'a')).toBe(3)
  sessions.delete(id('a'))
  expect(versionOf(sessions, 'a')).toBeUndefined()
  // What is not warm stays so.
  sessions.observe(warm('d').record)
  expect(versionOf(sessions, 'd')).toBeUndefined()
})
