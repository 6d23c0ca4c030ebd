import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { approvalSession } from '../../../actors/lifecycles/approval.ts'
import { Timed } from './timed.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

function approval(reviewers: readonly string[], input: object = {}): Timed {
  return new Timed(approvalSession, { subject: 'a new teapot', reviewers, ...input })
}

/** Ids of the reviews that are under way. */
function reviews(session: Timed): string[] {
  const { children = {} } = JSON.parse(session.record.internals) as { children?: object }
  return Object.keys(children)
}

describe('approval', () => {
  it('is approved when all approve, in any order', () => {
    const session = approval(['ann', 'bob'])
    expect(session.state).toMatchObject({ value: 'reviewing', context: { quorum: 2, approvals: [] } })
    expect(reviews(session)).toEqual(['review:ann', 'review:bob'])
    expect(session.client('APPROVE', { reviewer: 'bob' })).toBe(true)
    expect(reviews(session)).toEqual(['review:ann'])
    session.client('APPROVE', { reviewer: 'ann' })
    expect(session.state).toMatchObject({
      status: 'done',
      value: 'approved',
      output: { verdict: 'approved', approvals: ['bob', 'ann'], rejection: null },
    })
    expect(session.dues).toEqual([])
  })

  it('a quorum is enough', () => {
    const session = approval(['ann', 'bob', 'cid'], { quorum: 2 })
    session.client('APPROVE', { reviewer: 'cid' })
    expect(session.state.status).toBe('active')
    session.client('APPROVE', { reviewer: 'ann' })
    expect(session.state).toMatchObject({ value: 'approved', output: { approvals: ['cid', 'ann'] } })
  })

  it('the first rejection ends it', () => {
    const session = approval(['ann', 'bob', 'cid'], { quorum: 1 })
    session.client('REJECT', { reviewer: 'bob', reason: 'it drips' })
    expect(session.state).toMatchObject({
      status: 'done',
      value: 'rejected',
      output: { verdict: 'rejected', approvals: [], rejection: { reviewer: 'bob', reason: 'it drips' } },
    })
    expect(session.dues).toEqual([])
  })

  it('only who is still waited for decides', () => {
    const session = approval(['ann', 'bob'])
    session.client('APPROVE', { reviewer: 'ann' })
    expect(session.client('APPROVE', { reviewer: 'ann' })).toBe(false)
    expect(session.client('REJECT', { reviewer: 'ann', reason: 'no, wait' })).toBe(false)
    expect(session.client('APPROVE', { reviewer: 'eve' })).toBe(false)
    expect(session.context['approvals']).toEqual(['ann'])
  })

  it.each(['__proto__', 'undefined', 'x:1', 'constructor', '*', 'a.b', 'two\nlines', '🫖'])(
    'reviewers may be called %j',
    (name) => {
      const session = approval([name, 'bob'])
      session.advance(DAY)
      expect(session.emitted).toContainEqual({ type: 'reminder', reviewer: name, count: 1 })
      session.client('APPROVE', { reviewer: name })
      session.client('APPROVE', { reviewer: 'bob' })
      expect(session.state.output).toMatchObject({ verdict: 'approved', approvals: [name, 'bob'] })
    },
  )

  it('reminds each reviewer who is waited for, five times', () => {
    const session = approval(['ann', 'bob'], { remindEveryMs: HOUR })
    session.advance(HOUR)
    session.client('APPROVE', { reviewer: 'ann' })
    session.advance(20 * HOUR)
    expect(session.emitted).toEqual([
      { type: 'reminder', reviewer: 'ann', count: 1 },
      ...[1, 2, 3, 4, 5].map((count) => ({ type: 'reminder', reviewer: 'bob', count })),
    ])
    expect([session.state.status, session.dues]).toEqual(['active', [7 * DAY]])
    session.client('APPROVE', { reviewer: 'bob' })
    expect(session.state.value).toBe('approved')
  })

  it('expires at the deadline, whatever was decided until then', () => {
    const session = approval(['ann', 'bob'])
    session.advance(DAY)
    session.client('APPROVE', { reviewer: 'ann' })
    session.advance(6 * DAY - 1)
    expect(session.state.status).toBe('active')
    session.advance(1)
    expect(session.state).toMatchObject({
      status: 'done',
      value: 'expired',
      output: { verdict: 'expired', approvals: ['ann'], rejection: null },
    })
    expect(session.dues).toEqual([])
  })

  it('whatever reviewers do and whenever: as many reviews as are waited for, and a verdict by the deadline', () => {
    const names = ['ann', 'bob', 'cid', 'dan']
    const step = fc.record({
      waitMs: fc.nat(2 * DAY),
      type: fc.constantFrom('APPROVE', 'APPROVE', 'APPROVE', 'REJECT'),
      reviewer: fc.constantFrom(...names, 'eve'),
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 12 }), (quorum, steps) => {
        const session = approval(names, { quorum, remindEveryMs: 5 * HOUR })
        for (const { waitMs, type, reviewer } of steps) {
          session.advance(waitMs)
          session.client(type, { reviewer, ...(type === 'REJECT' ? { reason: 'no' } : {}) })
          if (session.state.status !== 'active') break
          const approvals = session.context['approvals'] as string[]
          expect(reviews(session)).toEqual(
            names.filter((name) => !approvals.includes(name)).map((name) => `review:${name}`),
          )
        }
        session.advance(Math.max(0, 7 * DAY - session.now))
        const { verdict, approvals, rejection } = session.state.output as Record<string, unknown>
        expect(session.state).toMatchObject({ status: 'done', value: verdict })
        expect(verdict === 'rejected').toBe(rejection !== null)
        expect(verdict === 'approved').toBe((approvals as string[]).length === quorum)
      }),
      { numRuns: 50 },
    )
  })

  it.each([
    [{ type: 'APPROVE' }, /event\.reviewer: /],
    [{ type: 'REJECT', reviewer: 'ann' }, /event\.reason: /],
    [{ type: 'APPROVED', reviewer: 'ann' }, /event\.type: /],
    [{ type: 'REJECTED', reviewer: 'ann', reason: 'x' }, /event\.type: /],
    [{ type: 'REMIND', reviewer: 'ann', count: 1 }, /event\.type: /],
  ])('refuses %o', (event, said) => {
    expect(() => approval(['ann', 'bob']).client(event.type, event)).toThrow(
      expect.objectContaining({ code: 'event_invalid', message: expect.stringMatching(said) as string }),
    )
  })

  it.each([
    [{ reviewers: [] }, /input\.reviewers: /],
    [{ reviewers: ['ann', 'ann'] }, /input\.reviewers: must not name anybody twice/],
    [{ reviewers: ['ann'], quorum: 2 }, /input\.quorum: must not be more/],
    [{ reviewers: ['ann'], quorum: 0 }, /input\.quorum: /],
    [{ reviewers: ['ann'], deadlineMs: 0 }, /input\.deadlineMs: /],
  ])('refuses the input %o', (input, said) => {
    expect(() => approval(['ann'], input)).toThrow(
      expect.objectContaining({ code: 'event_invalid', message: expect.stringMatching(said) as string }),
    )
  })
})
