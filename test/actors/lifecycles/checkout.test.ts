import { describe, expect, it } from 'vitest'
import { checkoutSession } from '../../../actors/lifecycles/checkout.ts'
import { Driven } from '../driven.ts'

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
