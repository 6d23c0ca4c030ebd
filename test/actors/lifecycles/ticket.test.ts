import { describe, expect, it } from 'vitest'
import { ticketSession } from '../../../actors/lifecycles/ticket.ts'
import { Driven } from '../driven.ts'
import { Timed } from './timed.ts'

function ticket(): Driven {
  return new Driven(ticketSession, { subject: 'no tea', customer: 'ann' })
}

function reply(session: Driven, from: 'agent' | 'customer', text = 'hello'): boolean {
  return session.send('REPLY', { from, text })
}

function work(session: Driven): unknown {
  return (session.state.value as { alive: { work: unknown } }).alive.work
}

describe('ticket', () => {
  it('from the question to the end', () => {
    const session = ticket()
    expect(session.state).toMatchObject({
      value: { alive: { work: 'open', priority: 'normal' } },
      tags: ['needsAgent'],
      context: { subject: 'no tea', customer: 'ann', agent: null, messages: [] },
    })
    session.send('ASSIGN', { agent: 'bob' })
    reply(session, 'agent', 'which tea?')
    expect([work(session), session.state.tags]).toEqual(['waiting', ['needsCustomer']])
    reply(session, 'customer', 'all of it')
    expect(work(session)).toBe('open')
    session.send('NOTE', { text: 'out of stock' })
    session.send('RESOLVE')
    expect([work(session), session.state.tags]).toEqual(['resolved', []])
    session.send('CLOSE')
    expect(session.state).toMatchObject({ status: 'done', value: 'closed' })
    expect(session.context).toMatchObject({
      agent: 'bob',
      messages: [
        { from: 'agent', text: 'which tea?' },
        { from: 'customer', text: 'all of it' },
        { from: 'note', text: 'out of stock' },
      ],
    })
    expect(() => session.send('NOTE', { text: 'x' })).toThrow(
      expect.objectContaining({ code: 'session_ended' }),
    )
  })

  it('an answer to a resolved ticket opens it again', () => {
    const session = ticket()
    session.send('RESOLVE')
    reply(session, 'customer', 'still no tea')
    expect(work(session)).toBe('open')
    expect(session.context['messages']).toHaveLength(1)
  })

  it('a second word of the same side is kept and changes no state', () => {
    const session = ticket()
    reply(session, 'customer')
    expect(work(session)).toBe('open')
    reply(session, 'agent')
    reply(session, 'agent')
    expect(work(session)).toBe('waiting')
    expect(session.context['messages']).toHaveLength(3)
  })

  it('the priority rises by itself, whatever the work does', () => {
    const session = ticket()
    session.send('ESCALATE')
    session.send('RESOLVE')
    session.send('ESCALATE')
    expect(session.state.value).toEqual({ alive: { work: 'resolved', priority: 'critical' } })
    expect(session.state.tags).toEqual(['urgent'])
    expect(session.send('ESCALATE')).toBe(false)
  })

  it('keeps the newest 50 messages', () => {
    const session = ticket()
    for (let n = 0; n < 60; n++) session.send('NOTE', { text: `note ${n}` })
    const messages = session.context['messages'] as { text: string }[]
    expect([messages.length, messages[0]?.text, messages.at(-1)?.text]).toEqual([50, 'note 10', 'note 59'])
  })

  it('is closed only after it was resolved', () => {
    const session = ticket()
    expect(session.send('CLOSE')).toBe(false)
    reply(session, 'agent')
    expect(session.send('CLOSE')).toBe(false)
  })

  it.each([
    [{ type: 'REPLY', from: 'robot', text: 'x' }, /event\.from: /],
    [{ type: 'REPLY', from: 'agent', text: '' }, /event\.text: /],
    [{ type: 'NOTE', text: 'x'.repeat(4001) }, /event\.text: /],
    [{ type: 'ASSIGN' }, /event\.agent: /],
    [{ type: 'DELETE' }, /event\.type: /],
  ])('refuses %o', (event, said) => {
    expect(() => ticket().send(event.type, event)).toThrow(
      expect.objectContaining({ code: 'event_invalid', message: expect.stringMatching(said) as string }),
    )
  })

  it('refuses a ticket of nobody, about nothing', () => {
    for (const input of [undefined, {}, { subject: '', customer: 'ann' }, { subject: 's' }])
      expect(() => new Driven(ticketSession, input)).toThrow(
        expect.objectContaining({ code: 'event_invalid' }),
      )
  })
})

describe('ticket, as time passes', () => {
  const HOUR = 3_600_000

  function timed(times: object = {}): Timed {
    return new Timed(ticketSession, { subject: 'no tea', customer: 'ann', ...times })
  }

  it('reminds three times of a ticket that waits for an agent, and then raises its priority', () => {
    const session = timed()
    session.advance(4 * HOUR - 1)
    expect(session.emitted).toEqual([])
    session.advance(1)
    expect(session.emitted).toEqual([{ type: 'reminder', count: 1, agent: null }])
    session.client('ASSIGN', { agent: 'bob' })
    session.client('REPLY', { from: 'customer', text: 'hello?' })
    session.advance(4 * HOUR)
    expect(session.emitted.at(-1)).toEqual({ type: 'reminder', count: 2, agent: 'bob' })
    expect(session.state.value).toMatchObject({ alive: { priority: 'normal' } })
    session.advance(4 * HOUR)
    expect(session.emitted).toHaveLength(3)
    expect(session.state.value).toEqual({ alive: { work: 'open', priority: 'high' } })
    expect(session.dues).toEqual([])
  })

  it('an answer stops the clock, and the next question starts another', () => {
    const session = timed({ remindAfterMs: 10_000 })
    session.advance(15_000)
    session.client('REPLY', { from: 'agent', text: 'which tea?' })
    expect(session.dues).toEqual([])
    session.advance(100_000)
    session.client('REPLY', { from: 'customer', text: 'all of it' })
    expect(session.dues).toEqual([125_000])
    session.advance(10_000)
    expect(session.emitted).toEqual([1, 1].map((count) => ({ type: 'reminder', count, agent: null })))
  })

  it('a resolved ticket closes by itself, unless it is answered', () => {
    const session = timed()
    session.client('RESOLVE')
    session.advance(7 * 24 * HOUR - 1)
    session.client('REPLY', { from: 'customer', text: 'still no tea' })
    session.advance(1)
    expect(session.state.value).toMatchObject({ alive: { work: 'open' } })
    session.client('RESOLVE')
    expect(session.dues).toEqual([14 * 24 * HOUR])
    session.advance(7 * 24 * HOUR)
    expect(session.state).toMatchObject({ status: 'done', value: 'closed' })
    expect(session.emitted).toEqual([])
  })

  it('is closed before that by CLOSE', () => {
    const session = timed({ closeAfterMs: 5000 })
    session.client('RESOLVE')
    session.client('CLOSE')
    expect([session.state.value, session.dues]).toEqual(['closed', []])
  })

  it('REMIND is the child’s, and refused from clients', () => {
    expect(() => timed().client('REMIND', { count: 1 })).toThrow(
      expect.objectContaining({ code: 'event_invalid' }),
    )
  })
})
