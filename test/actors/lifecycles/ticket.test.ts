import { describe, expect, it } from 'vitest'
import { ticketSession } from '../../../actors/lifecycles/ticket.ts'
import { Driven } from '../driven.ts'

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
