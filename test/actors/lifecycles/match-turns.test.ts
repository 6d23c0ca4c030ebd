import { describe, expect, it } from 'vitest'
import { matchSession } from '../../../actors/lifecycles/match.ts'
import { Timed } from './timed.ts'

describe('match, as time passes', () => {
  function timed(players: readonly string[], input: object = {}): Timed {
    const session = new Timed(matchSession, { seats: players.length, ...input })
    for (const player of players) session.client('JOIN', { player })
    return session
  }

  it('who lets a turn pass has given up; who remains alone has won', () => {
    const session = timed(['ann', 'bob', 'cid'])
    session.client('PLAY', { player: 'ann', cell: 0 })
    session.advance(60_000)
    expect(session.state).toMatchObject({ value: 'playing', context: { players: ['ann', 'cid'], turn: 1 } })
    session.advance(60_000)
    expect(session.state).toMatchObject({ status: 'done', output: { winner: 'ann' } })
    expect(session.emitted).toEqual([
      { type: 'timedOut', player: 'bob' },
      { type: 'timedOut', player: 'cid' },
      { type: 'won', player: 'ann' },
    ])
    expect(session.dues).toEqual([])
  })

  it('a turn begins with the match and with each move; what is refused does not start it anew', () => {
    const session = timed(['ann'], { seats: 2, turnMs: 10_000 })
    session.advance(100_000)
    expect(session.dues).toEqual([])
    session.client('JOIN', { player: 'bob' })
    session.advance(9000)
    session.client('PLAY', { player: 'ann', cell: 0 })
    expect(session.dues).toEqual([119_000])
    session.advance(9000)
    expect(session.client('PLAY', { player: 'bob', cell: 0 })).toBe(false)
    session.advance(1000)
    expect(session.state).toMatchObject({ status: 'done', output: { winner: 'ann' } })
  })

  it('the turn of another goes on when somebody leaves; who leaves in a turn hands on a full one', () => {
    const session = timed(['ann', 'bob', 'cid', 'dan'], { turnMs: 10_000 })
    session.advance(4000)
    session.client('LEAVE', { player: 'bob' })
    expect(session.dues).toEqual([10_000])
    session.client('LEAVE', { player: 'ann' })
    expect([session.context['players'], session.context['turn'], session.dues]).toEqual([
      ['cid', 'dan'],
      0,
      [14_000],
    ])
  })

  it('null: no limit', () => {
    const session = timed(['ann', 'bob'], { turnMs: null })
    expect(session.dues).toEqual([])
    session.client('PLAY', { player: 'ann', cell: 0 })
    session.advance(1e12)
    expect([session.state.status, session.dues]).toEqual(['active', []])
  })

  it('TURN_OVER is the machine’s own, and refused from clients', () => {
    expect(() => timed(['ann', 'bob']).client('TURN_OVER')).toThrow(
      expect.objectContaining({ code: 'event_invalid' }),
    )
  })
})
