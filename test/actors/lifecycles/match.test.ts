import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matchSession } from '../../../actors/lifecycles/match.ts'
import { Driven } from '../driven.ts'

function match(players: readonly string[], input: object = { seats: players.length }): Driven {
  const session = new Driven(matchSession, input)
  for (const player of players) session.send('JOIN', { player })
  return session
}

function play(session: Driven, moves: readonly (readonly [player: string, cell: number])[]): void {
  for (const [player, cell] of moves) expect(session.send('PLAY', { player, cell })).toBe(true)
}

describe('match', () => {
  it('a lobby that fills, and begins when it is full', () => {
    const session = match(['ann'], {})
    expect(session.state).toMatchObject({ value: 'lobby', tags: ['joinable'] })
    expect(session.send('JOIN', { player: 'ann' })).toBe(false)
    expect(session.send('PLAY', { player: 'ann', cell: 0 })).toBe(false)
    session.send('LEAVE', { player: 'ann' })
    expect(session.send('LEAVE', { player: 'ann' })).toBe(false)
    session.send('JOIN', { player: 'bob' })
    session.send('JOIN', { player: 'ann' })
    expect(session.state).toMatchObject({
      value: 'playing',
      tags: [],
      context: { players: ['bob', 'ann'], turn: 0 },
    })
    expect(session.send('JOIN', { player: 'cid' })).toBe(false)
  })

  it.each([
    ['a row', [0, 1, 2], [3, 4]],
    ['a column', [1, 4, 7], [0, 2]],
    ['a diagonal', [0, 4, 8], [1, 2]],
    ['the other diagonal', [2, 4, 6], [0, 1]],
  ] as const)('is won by %s', (_, mine, theirs) => {
    const session = match(['ann', 'bob'])
    play(
      session,
      [0, 1].flatMap((n) => [['ann', mine[n] ?? -1] as const, ['bob', theirs[n] ?? -1] as const]),
    )
    expect(session.plan.status).toBe('active')
    play(session, [['ann', mine[2]]])
    expect(session.state).toMatchObject({ status: 'done', value: 'finished', output: { winner: 'ann' } })
    expect(session.plan.emitted).toEqual(['{"type":"won","player":"ann"}'])
  })

  it('a row does not go around the edge of the board', () => {
    const session = match(['ann', 'bob'])
    play(session, [
      ['ann', 1],
      ['bob', 0],
      ['ann', 2],
      ['bob', 4],
      ['ann', 3],
    ])
    expect(session.plan.status).toBe('active')
  })

  it('a full board is a draw', () => {
    const session = match(['ann', 'bob'])
    const cells = [0, 1, 2, 4, 3, 5, 7, 6, 8]
    play(
      session,
      cells.map((cell, n) => [n % 2 === 0 ? 'ann' : 'bob', cell] as const),
    )
    expect(session.state).toMatchObject({ status: 'done', output: { winner: null } })
    expect(session.plan.emitted).toEqual(['{"type":"drawn"}'])
  })

  it('only who has the turn plays, on a free cell of the board', () => {
    const session = match(['ann', 'bob'])
    expect(session.send('PLAY', { player: 'bob', cell: 0 })).toBe(false)
    play(session, [['ann', 4]])
    expect(session.send('PLAY', { player: 'ann', cell: 0 })).toBe(false)
    expect(session.send('PLAY', { player: 'bob', cell: 4 })).toBe(false)
    expect(session.send('PLAY', { player: 'bob', cell: 9 })).toBe(false)
    expect(session.send('PLAY', { player: 'cid', cell: 0 })).toBe(false)
    expect(session.context['turn']).toBe(1)
  })

  it('who leaves gives up; the turn goes on with those who remain', () => {
    const session = match(['ann', 'bob', 'cid'], { seats: 3, size: 4 })
    play(session, [
      ['ann', 0],
      ['bob', 1],
    ])
    session.send('LEAVE', { player: 'ann' })
    expect(session.context).toMatchObject({ players: ['bob', 'cid'], turn: 1 })
    play(session, [
      ['cid', 2],
      ['bob', 5],
    ])
    session.send('LEAVE', { player: 'cid' })
    expect(session.state).toMatchObject({ status: 'done', output: { winner: 'bob' } })
    expect(session.plan.emitted).toEqual(['{"type":"won","player":"bob"}'])
  })

  it('whatever players do: the turn is somebody’s, and each cell was played by one who was there', () => {
    const player = fc.constantFrom('ann', 'bob', 'cid')
    const event = fc.oneof(
      { weight: 1, arbitrary: fc.record({ type: fc.constant('LEAVE'), player }) },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('JOIN'), player }) },
      { weight: 8, arbitrary: fc.record({ type: fc.constant('PLAY'), player, cell: fc.nat(10) }) },
    )
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const session = match([], { seats: 3 })
        for (const one of events) {
          if (session.plan.status !== 'active') break
          session.send(one.type, one)
          const { players, turn, board } = session.context as {
            players: string[]
            turn: number
            board: unknown[]
          }
          expect(board).toHaveLength(9)
          if (session.state.value === 'playing') expect(players[turn]).toBeTypeOf('string')
        }
      }),
    )
  })

  it('with hands: one plays a card that one holds, and draws another', () => {
    const session = match(['ann', 'bob'], { hand: 2, deck: [8, 7, 6, 5, 4, 3, 2, 1, 0] })
    expect(session.context).toMatchObject({ hands: [[8, 6], [7, 5]], deck: [4, 3, 2, 1, 0] }) // prettier-ignore
    expect(session.send('PLAY', { player: 'ann', cell: 7 })).toBe(false)
    play(session, [['ann', 6]])
    expect(session.context).toMatchObject({ hands: [[8, 4], [7, 5]], deck: [3, 2, 1, 0] }) // prettier-ignore
  })

  it('with hands: whoever has the turn holds a card, whoever leaves; no card is lost or made', () => {
    const step = fc.record({ leaves: fc.boolean(), card: fc.nat(8) })
    fc.assert(
      fc.property(fc.nat(8), fc.array(step, { maxLength: 40 }), (hand, steps) => {
        const session = match(['ann', 'bob', 'cid', 'dan'], { seats: 4, size: 4, hand: hand + 1 })
        for (const { leaves, card } of steps) {
          const { players, turn, hands, deck, board } = session.context as unknown as {
            players: string[]
            turn: number
            hands: number[][]
            deck: number[]
            board: unknown[]
          }
          if (session.plan.status !== 'active') break
          const free = board.flatMap((holder, cell) => (holder === null ? [cell] : []))
          expect([...deck, ...hands.flat()].sort((a, b) => a - b)).toEqual(free)
          const mine = hands[turn] ?? []
          expect(mine.length).toBeGreaterThan(0)
          const player = leaves ? players[card % players.length] : players[turn]
          const event = leaves ? { player } : { player, cell: mine[card % mine.length] }
          expect(session.send(leaves ? 'LEAVE' : 'PLAY', event)).toBe(true)
        }
      }),
    )
  })

  it.each([0, 2])('whose keys are alike, see alike: hands of %i', (hand) => {
    const { view, viewKey } = matchSession
    const session = match(['ann', 'bob'], { hand })
    const shown = new Map<string, unknown>()
    for (const principal of [null, { id: 'ann' }, { id: 'bob' }, { id: 'cid' }]) {
      const snapshot = { context: session.context } as never
      const key = viewKey?.(snapshot, principal) ?? ''
      const seen = view?.(snapshot, principal)
      expect(seen).toEqual(shown.get(key) ?? seen)
      shown.set(key, seen)
    }
    expect(shown.size).toBe(hand === 0 ? 1 : 3)
  })

  it('shuffles when no deck is given', () => {
    const decks = Array.from({ length: 8 }, () => match([], { seats: 2, size: 9, hand: 1 }).context['deck'])
    expect(new Set(decks.map(String)).size).toBe(8)
    for (const deck of decks) expect(new Set(deck as number[]).size).toBe(81)
  })

  it.each([
    [{ type: 'JOIN', player: '' }, /event\.player: /],
    [{ type: 'PLAY', player: 'ann', cell: -1 }, /event\.cell: /],
    [{ type: 'PLAY', player: 'ann', cell: 81 }, /event\.cell: /],
    [{ type: 'PLAY', player: 'ann' }, /event\.cell: /],
    [{ type: 'CHEAT', player: 'ann' }, /event\.type: /],
  ])('refuses %o', (event, said) => {
    expect(() => match(['ann', 'bob']).send(event.type, event)).toThrow(
      expect.objectContaining({ code: 'event_invalid', message: expect.stringMatching(said) as string }),
    )
  })

  it('refuses a match of one, and a board without room', () => {
    for (const input of [
      { seats: 1 },
      { seats: 5 },
      { size: 2 },
      { size: 10 },
      { board: [] },
      { deck: [0] },
      { hand: 1, deck: [0, 0] },
    ])
      expect(() => new Driven(matchSession, input)).toThrow(
        expect.objectContaining({ code: 'event_invalid' }),
      )
  })
})
