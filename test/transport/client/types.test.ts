import { describe, expectTypeOf, it } from 'vitest'
import type { checkoutSession } from '../../../actors/lifecycles/checkout.ts'
import type { documentSession } from '../../../actors/lifecycles/document.ts'
import type { SessionIdOf } from '../../../actors/define-session.ts'
import type { Client, ClientView } from '../../../transport/client/index.ts'

type Definitions = { checkout: typeof checkoutSession; document: typeof documentSession }

/** Never called: what is tested is what the type checker says. */
async function typed(client: Client<Definitions>): Promise<void> {
  const created = await client.createSession('checkout', {
    input: { currency: 'EUR', paymentTimeoutMs: 1, idleTimeoutMs: 1 },
  })
  expectTypeOf(created.context.total).toEqualTypeOf<number>()
  expectTypeOf(created.id).toExtend<SessionIdOf<typeof checkoutSession>>()

  const session = client.session(created.id)
  await session.send({ type: 'PAID', reference: 'r1' })
  // @ts-expect-error there is no such event
  await session.send({ type: 'PAYED' })
  // @ts-expect-error it needs a reference
  await session.send({ type: 'PAID' })
  await client.updateSession(created.id, { type: 'CANCEL' })
  // @ts-expect-error the id belongs to another definition
  await client.updateSession(created.id, { type: 'SET', state: {} })
  expectTypeOf(session.getSnapshot()).toEqualTypeOf<ClientView<typeof checkoutSession> | null>()

  const byText = client.session<typeof checkoutSession>('cart-7')
  for await (const view of byText.updates())
    expectTypeOf(view.context.items[0]?.sku).toEqualTypeOf<string | undefined>()
  // What a definition's view function makes of the context, only its author knows.
  const seen = client.session<typeof checkoutSession, { readonly total: string }>('cart-7')
  expectTypeOf((await seen.send({ type: 'CANCEL' })).context.total).toEqualTypeOf<string>()

  // @ts-expect-error no definition has this name
  await client.createSession('chekout')
  // @ts-expect-error the input of another definition
  await client.createSession('checkout', { input: { currency: 5 } })
}

describe('types', () => {
  it('follow the definitions', () => {
    expectTypeOf(typed).toBeFunction()
  })
})
