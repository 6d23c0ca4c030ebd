import { describe, expect, it } from 'vitest'
import { checkoutSession } from '../../../actors/lifecycles/checkout.ts'
import { Driven } from '../driven.ts'
import { Timed } from './timed.ts'

function cart(...adds: [sku: string, quantity: number, unitPrice: number][]): Driven {
  const session = new Driven(checkoutSession)
  for (const [sku, quantity, unitPrice] of adds) session.send('ADD', { sku, quantity, unitPrice })
  return session
}

describe('checkout', () => {
  it('from the cart to the order', () => {
    const session = cart(['tea', 2, 450], ['cup', 1, 1200])
    session.send('ADD', { sku: 'tea', unitPrice: 450 })
    expect(session.context).toMatchObject({
      currency: 'EUR',
      items: [
        { sku: 'tea', quantity: 3, unitPrice: 450 },
        { sku: 'cup', quantity: 1, unitPrice: 1200 },
      ],
      total: 2550,
    })
    session.send('REMOVE', { sku: 'cup' })
    expect(session.context['total']).toBe(1350)
    expect(session.state).toMatchObject({ value: 'shopping', tags: ['open'] })

    session.send('PAY')
    expect(session.state).toMatchObject({ value: 'paying', accepts: ['PAID', 'DECLINED', 'CANCEL'] })
    session.send('PAID', { reference: 'psp-1' })
    expect(session.state).toMatchObject({
      status: 'done',
      value: 'ordered',
      tags: [],
      output: { total: 1350, reference: 'psp-1' },
    })
    expect(session.plan.emitted).toEqual(['{"type":"ordered","total":1350,"reference":"psp-1"}'])
  })

  it('a declined payment leads back to the cart, with the reason', () => {
    const session = cart(['tea', 1, 450])
    session.send('PAY')
    session.send('DECLINED', { reason: 'no funds' })
    expect(session.state.value).toBe('shopping')
    expect(session.context['lastDecline']).toBe('no funds')
    session.send('PAY')
    session.send('PAID', { reference: 'psp-2' })
    expect(session.plan.status).toBe('done')
  })

  it('CANCEL ends it anywhere before the order', () => {
    for (const events of [[], ['PAY']]) {
      const session = cart(['tea', 1, 450])
      for (const type of events) session.send(type)
      session.send('CANCEL')
      expect(session.state).toMatchObject({ status: 'done', value: 'cancelled', output: { reference: null } })
      expect(session.plan.emitted).toEqual([])
    }
  })

  it('what makes no sense now changes nothing', () => {
    const session = cart()
    for (const [type, members] of [
      ['PAY', {}],
      ['REMOVE', { sku: 'tea' }],
      ['PAID', { reference: 'x' }],
      ['DECLINED', { reason: 'x' }],
    ] as const)
      expect(session.send(type, members)).toBe(false)
    session.send('ADD', { sku: 'tea', unitPrice: 1 })
    session.send('PAY')
    expect(session.send('ADD', { sku: 'tea', unitPrice: 1 })).toBe(false)
  })

  it.each([
    [{ type: 'ADD', sku: '', unitPrice: 1 }, /event\.sku: /],
    [{ type: 'ADD', sku: 'a', unitPrice: -1 }, /event\.unitPrice: /],
    [{ type: 'ADD', sku: 'a', unitPrice: 1.5 }, /event\.unitPrice: /],
    [{ type: 'ADD', sku: 'a', unitPrice: 1, quantity: 0 }, /event\.quantity: /],
    [{ type: 'PAID' }, /event\.reference: /],
    [{ type: 'PAY', now: true }, /now/],
    [{ type: 'STEAL' }, /event\.type: /],
  ])('refuses %o', (event, said) => {
    expect(() => cart(['tea', 1, 1]).send(event.type, event)).toThrow(
      expect.objectContaining({ code: 'event_invalid', message: expect.stringMatching(said) as string }),
    )
  })

  it('input: a currency or nothing', () => {
    expect(new Driven(checkoutSession, { currency: 'CHF' }).context['currency']).toBe('CHF')
    for (const input of [{ currency: 'euro' }, { currency: 5 }, { coupon: 1 }, 5])
      expect(() => new Driven(checkoutSession, input)).toThrow(
        expect.objectContaining({ code: 'event_invalid' }),
      )
  })
})

describe('checkout, as time passes', () => {
  const MINUTE = 60_000

  it('a payment that nobody answers leads back to the cart', () => {
    const session = new Timed(checkoutSession)
    session.client('ADD', { sku: 'tea', unitPrice: 450 })
    session.client('PAY')
    session.advance(15 * MINUTE - 1)
    expect(session.state.value).toBe('paying')
    session.advance(1)
    expect(session.state).toMatchObject({
      value: 'shopping',
      context: { lastDecline: 'timed out', total: 450 },
    })
    expect(session.client('PAID', { reference: 'too late' })).toBe(false)
    session.client('PAY')
    expect(session.client('PAID', { reference: 'psp-1' })).toBe(true)
    expect([session.state.value, session.dues]).toEqual(['ordered', []])
  })

  it('each payment has its full time, and an answer ends it', () => {
    const session = new Timed(checkoutSession, { paymentTimeoutMs: 5000, idleTimeoutMs: 60_000 })
    session.client('ADD', { sku: 'tea', unitPrice: 450 })
    session.client('PAY')
    session.advance(4000)
    session.client('DECLINED', { reason: 'no funds' })
    expect(session.dues).toEqual([64_000])
    session.client('PAY')
    session.advance(4000)
    expect([session.state.value, session.context['lastDecline']]).toEqual(['paying', 'no funds'])
    session.advance(1000)
    expect([session.state.value, session.context['lastDecline']]).toEqual(['shopping', 'timed out'])
  })

  it('a cart that nobody changes is abandoned; each change starts its time anew, and nothing else does', () => {
    const session = new Timed(checkoutSession)
    session.advance(29 * MINUTE)
    session.client('ADD', { sku: 'tea', unitPrice: 450 })
    session.advance(29 * MINUTE)
    session.client('REMOVE', { sku: 'tea' })
    expect(session.dues).toEqual([88 * MINUTE])
    session.advance(10 * MINUTE)
    for (const [type, members] of [
      ['REMOVE', { sku: 'tea' }],
      ['PAY', {}],
      ['PAID', { reference: 'r' }],
    ] as const)
      expect(session.client(type, members)).toBe(false)
    session.advance(20 * MINUTE - 1)
    expect(session.state.value).toBe('shopping')
    session.advance(1)
    expect(session.state).toMatchObject({
      status: 'done',
      value: 'abandoned',
      output: { total: 0, reference: null },
    })
    expect(session.dues).toEqual([])
  })

  it('a payment may take longer than the cart, and the cart has its full time after it', () => {
    const session = new Timed(checkoutSession, { paymentTimeoutMs: 90_000, idleTimeoutMs: 10_000 })
    session.client('ADD', { sku: 'tea', unitPrice: 450 })
    session.client('PAY')
    session.advance(90_000)
    expect([session.state.value, session.dues]).toEqual(['shopping', [100_000]])
    session.advance(10_000)
    expect(session.state.value).toBe('abandoned')
  })

  it.each([
    { paymentTimeoutMs: 0 },
    { paymentTimeoutMs: 1e9 },
    { idleTimeoutMs: null },
    { idleTimeoutMs: 1.5e3 + 0.5 },
  ])('refuses %o', (input) => {
    expect(() => new Timed(checkoutSession, input)).toThrow(
      expect.objectContaining({ code: 'event_invalid' }),
    )
  })
})
