import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { documentSession } from '../../../actors/lifecycles/document.ts'
import { Driven } from '../driven.ts'

function document(state?: unknown): Driven {
  return new Driven(documentSession, state)
}

describe('document', () => {
  it('begins with its input, or empty', () => {
    expect(document().context).toEqual({ state: {} })
    for (const state of [{ a: 1 }, [1, 2], 'text', 0, null, false]) {
      const expected = state ?? {}
      expect(document(state).context).toEqual({ state: expected })
    }
  })

  it('SET replaces the whole', () => {
    const session = document({ a: 1 })
    session.send('SET', { state: { b: [1, { c: null }] } })
    expect(session.context).toEqual({ state: { b: [1, { c: null }] } })
    session.send('SET', { state: 5 })
    expect(session.context).toEqual({ state: 5 })
    expect([...session.state.accepts].sort()).toEqual(['MERGE', 'SET'])
  })

  // The examples of RFC 7396, appendix A.
  it.each([
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', 'null', 'null'],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])('MERGE %s with %s', (target, patch, result) => {
    const session = document(JSON.parse(target))
    session.send('MERGE', { state: JSON.parse(patch) as unknown })
    expect(JSON.stringify(session.context['state'])).toBe(result)
  })

  it('a member named __proto__ reaches nobody’s prototype', () => {
    const session = document()
    const hostile = JSON.parse(
      '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}',
    ) as unknown
    for (const type of ['MERGE', 'SET', 'MERGE']) session.send(type, { state: hostile })
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
    expect((session.context['state'] as { admin?: boolean }).admin).toBeUndefined()
  })

  it.each(['SET', 'MERGE'])('%s keeps a member named __proto__ as a member', (type) => {
    const session = document()
    const text = '{"a":{"__proto__":{"b":[1]}},"__proto__":5}'
    session.send(type, { state: JSON.parse(text) as unknown })
    expect(JSON.stringify(session.context['state'])).toBe(text)
    session.restore()
    session.send('MERGE', { state: { c: 1 } })
    expect(JSON.stringify(session.context['state'])).toBe('{"a":{"__proto__":{"b":[1]}},"__proto__":5,"c":1}')
  })

  it('any JSON comes back as it was', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (state) => {
        const session = document()
        session.send('SET', { state })
        session.restore()
        expect(JSON.stringify(session.context['state'])).toBe(JSON.stringify(state))
      }),
    )
  })

  it.each([
    [{ type: 'SET' }, /event\.state: /],
    [{ type: 'SET', state: 1n }, /event\.state: /],
    [{ type: 'MERGE', state: { a: new Date(0) } }, /event\.state/],
    [{ type: 'SET', state: 1, more: 1 }, /more/],
    [{ type: 'DROP', state: 1 }, /event\.type: /],
  ])('refuses %o', (event, said) => {
    expect(() => document().send(event.type, event)).toThrow(
      expect.objectContaining({ code: 'event_invalid', message: expect.stringMatching(said) as string }),
    )
  })
})
