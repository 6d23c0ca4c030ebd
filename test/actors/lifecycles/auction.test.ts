import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { auctionSession } from '../../../actors/lifecycles/auction.ts'
import { Timed } from './timed.ts'

const TIMES = { durationMs: 60_000, extendMs: 10_000 }

function auction(input: object = {}): Timed {
  return new Timed(auctionSession, { item: 'a teapot', ...TIMES, ...input })
}

function bid(session: Timed, bidder: string, amount: number): boolean {
  return session.client('BID', { bidder, amount })
}

describe('auction', () => {
  it('bids rise, and the highest at the end wins', () => {
    const session = auction({ startPrice: 100, minStep: 10 })
    expect(session.state).toMatchObject({ value: 'open', context: { highest: null, bids: 0 } })
    expect(bid(session, 'ann', 99)).toBe(false)
    expect(bid(session, 'ann', 100)).toBe(true)
    expect(bid(session, 'bob', 109)).toBe(false)
    expect(bid(session, 'bob', 110)).toBe(true)
    expect(session.emitted).toEqual([{ type: 'outbid', bidder: 'ann', by: 'bob', amount: 110 }])
    session.advance(60_000)
    expect(session.state).toMatchObject({
      status: 'done',
      value: 'sold',
      output: { winner: 'bob', amount: 110 },
      context: { bids: 2 },
    })
  })

  it('nobody outbids themselves', () => {
    const session = auction()
    bid(session, 'ann', 5)
    expect(bid(session, 'ann', 50)).toBe(false)
  })

  it('without a bid it ends unsold', () => {
    const session = auction()
    session.advance(59_999)
    expect(session.state).toMatchObject({ status: 'active', value: 'closing', tags: ['closing'] })
    session.advance(1)
    expect(session.state).toMatchObject({
      status: 'done',
      value: 'unsold',
      output: { winner: null, amount: null },
    })
  })

  it('a bid before the last time moves nothing; one in it starts the last time anew', () => {
    const session = auction()
    session.advance(49_999)
    bid(session, 'ann', 1)
    expect(session.dues).toEqual([50_000])
    session.advance(10_000)
    expect([session.state.value, session.dues]).toEqual(['closing', [60_000]])
    bid(session, 'bob', 2)
    expect(session.dues).toEqual([69_999])
    expect(bid(session, 'cid', 2)).toBe(false)
    session.advance(9000)
    expect(session.dues).toEqual([69_999])
    bid(session, 'ann', 3)
    session.advance(9999)
    expect(session.state.status).toBe('active')
    session.advance(1)
    expect([session.now, session.state.output]).toEqual([78_999, { winner: 'ann', amount: 3 }])
  })

  it('extendMs 0: the end is the end', () => {
    const session = auction({ extendMs: 0 })
    session.advance(59_999)
    bid(session, 'ann', 7)
    session.advance(1)
    expect(session.state).toMatchObject({ value: 'sold', output: { winner: 'ann' } })
  })

  it('extendMs as long as all of it: each bid starts it anew', () => {
    const session = auction({ durationMs: 10_000, extendMs: 10_000 })
    session.advance(9000)
    bid(session, 'ann', 7)
    session.advance(9999)
    expect(session.state.value).toBe('closing')
    session.advance(1)
    expect(session.state.value).toBe('sold')
  })

  it('whatever is bid and whenever: each bid is higher by the step, and the end has its quiet time before it', () => {
    const step = fc.record({
      waitMs: fc.nat(12_000),
      bidder: fc.constantFrom('ann', 'bob', 'cid'),
      amount: fc.integer({ min: 1, max: 60 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const session = auction({ minStep: 3 })
        const taken: { bidder: string; amount: number; at: number }[] = []
        for (const { waitMs, bidder, amount } of steps) {
          session.advance(waitMs)
          if (bid(session, bidder, amount)) taken.push({ bidder, amount, at: session.now })
        }
        for (const [index, one] of taken.entries()) {
          const before = taken[index - 1]
          if (before === undefined) continue
          expect(one.amount).toBeGreaterThanOrEqual(before.amount + 3)
          expect(one.bidder).not.toBe(before.bidder)
        }
        const last = taken.at(-1)
        const end = taken.reduce((at, one) => (one.at >= at - 10_000 ? one.at + 10_000 : at), 60_000)
        if (session.state.status === 'active') expect(session.now).toBeLessThan(end)
        session.advance(Math.max(0, end - 1 - session.now))
        if (session.now < end) expect(session.state.status).toBe('active')
        session.advance(1)
        expect(session.state.output).toEqual({ winner: last?.bidder ?? null, amount: last?.amount ?? null })
        expect(session.emitted).toHaveLength(Math.max(0, taken.length - 1))
      }),
    )
  })

  it.each([
    [{ bidder: 'ann', amount: 0 }, /event\.amount: /],
    [{ bidder: 'ann', amount: 1.5 }, /event\.amount: /],
    [{ bidder: '', amount: 5 }, /event\.bidder: /],
    [{ bidder: 'ann', amount: 5, sure: true }, /sure/],
  ])('refuses BID %o', (members, said) => {
    expect(() => auction().client('BID', members)).toThrow(
      expect.objectContaining({ code: 'event_invalid', message: expect.stringMatching(said) as string }),
    )
  })

  it.each([{ item: '' }, { minStep: 0 }, { durationMs: 10 }, { durationMs: 5000 }, { endsAt: 1 }])(
    'refuses the input %o',
    (input) => {
      expect(() => auction(input)).toThrow(expect.objectContaining({ code: 'event_invalid' }))
    },
  )
})
