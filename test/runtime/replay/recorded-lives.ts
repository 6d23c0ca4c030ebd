/** Lives of sessions that a runtime has recorded: of each kind of machine, with all kinds of transitions, and some to be harmed. */
import { builtinDefinitions } from '../../../actors/lifecycles/builtin.ts'
import { PARTITIONS } from '../../../actors/partitions.ts'
import { drain } from '../../../persistence/audit/drain.ts'
import { Outbox } from '../../../persistence/audit/outbox.ts'
import { createRuntime } from '../../../runtime/index.ts'
import type { Runtime, SessionDefinition } from '../../../runtime/index.ts'
import type { AuditPlace } from '../../persistence/audit-support.ts'
import { sleepMs, until } from '../../support/hosts.ts'
import { clocked, errand, fragile, order1, order2 } from './machines.ts'

/** Lives them all, and writes what is recorded to PostgreSQL. */
export async function recordLives(place: AuditPlace): Promise<void> {
  await withRuntime(place, [...builtinDefinitions, errand, clocked, fragile, order1], async (runtime) => {
    await live(runtime, 'cart', 'checkout', undefined, [
      { type: 'ADD', sku: 'tea', unitPrice: 450 },
      { type: 'PAY' },
      { type: 'DECLINED', reason: 'no funds' },
      { type: 'PAY' },
      { type: 'PAID', reference: 'psp-1' },
    ])
    await live(runtime, 'game', 'match', { hand: 3, turnMs: 1000 }, [
      { type: 'JOIN', player: 'ann' },
      { type: 'JOIN', player: 'bob' },
    ])
    await live(
      runtime,
      'case',
      'ticket',
      { subject: 'x', customer: 'ann', remindAfterMs: 1000, closeAfterMs: 1000 },
      [
        { type: 'ASSIGN', agent: 'bob' },
        { type: 'REPLY', from: 'agent', text: 'well?' },
        { type: 'REPLY', from: 'customer', text: 'no' },
      ],
    )
    await live(runtime, 'page', 'document', { a: [1, { b: null }], z: 1e21 }, [
      { type: 'MERGE', state: { a: null, c: 'ä' } },
      { type: 'SET', state: [1, 2] },
    ])
    await runtime.deleteSession('page')
    await live(runtime, 'page', 'document', undefined, [{ type: 'SET', state: 7 }])
    await live(runtime, 'twin', 'errand', undefined, [{ type: 'NOTE', text: 'first' }])
    await live(runtime, 'run', 'errand', undefined, [
      { type: 'GO', url: 'bad' },
      { type: 'NOTE', text: 'a' },
      { type: 'TELL', to: 'twin', text: 'b' },
    ])
    await until(async () => (await runtime.getSession<typeof errand>('run'))?.context.problem !== null)
    await runtime.updateSession('run', { type: 'GO', url: 'good' })
    await until(async () => (await runtime.getSession('run'))?.tags.includes('settled') === true)
    for (const type of ['PAUSE', 'RESUME', 'STOP']) await runtime.updateSession('run', { type })
    await live(runtime, 'stamped', 'clocked', undefined, [
      { type: 'ADD' },
      { type: 'STAMP' },
      { type: 'ADD' },
    ])
    await live(runtime, 'rolled', 'clocked', undefined, [{ type: 'ROLL' }])
    await live(runtime, 'named', 'clocked', undefined, [{ type: 'UUID' }])
    await live(runtime, 'peeked', 'clocked', undefined, [{ type: 'PEEK' }, { type: 'ADD' }])
    await live(runtime, 'written', 'clocked', undefined, [{ type: 'WRITE' }])
    await live(runtime, 'parted', 'clocked', undefined, [{ type: 'PARTS' }])
    await live(runtime, 'dated', 'clocked', undefined, [{ type: 'YEAR' }, { type: 'ADD' }])
    await live(runtime, 'broken', 'fragile', undefined, [{ type: 'ADD' }])
    await live(runtime, 'shipped', 'order', undefined, [
      { type: 'NEXT' },
      { type: 'BACK' },
      { type: 'NEXT' },
      { type: 'NEXT' },
    ])
    await live(runtime, 'moving', 'order', undefined, [{ type: 'NEXT' }])
    for (const id of ['forgotten', 'torn', 'bare', 'altered', 'silent', 'odd'])
      await live(runtime, id, 'order', undefined, [{ type: 'NEXT' }, { type: 'NEXT' }, { type: 'BACK' }])
    // Turns and reminders come to their end.
    await sleepMs(2500)
  })
  await withRuntime(place, [order1, order2], async (runtime) => {
    await runtime.updateSession('moving', { type: 'NEXT' })
  })
  await drainAll(place)
}

/** Writes what waits in the outboxes to PostgreSQL. */
export async function drainAll(place: AuditPlace): Promise<void> {
  const outbox = new Outbox(place.redis, place.keys)
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition)
  await drain({ outbox, pool: place.pool, knownDays: new Set() }, partitions, 1000)
}

export async function withRuntime(
  place: AuditPlace,
  definitions: readonly unknown[],
  use: (runtime: Runtime) => Promise<void>,
): Promise<void> {
  const runtime = await createRuntime({
    definitions: definitions as SessionDefinition[],
    redisUrl: place.redisUrl,
    keyPrefix: place.prefix,
    logLevel: 'silent',
  })
  try {
    await use(runtime)
  } finally {
    await runtime.close({ deadlineMs: 2000 })
  }
}

async function live(
  runtime: Runtime,
  id: string,
  machine: string,
  input: unknown,
  events: readonly { readonly type: string; readonly [member: string]: unknown }[],
): Promise<void> {
  await runtime.createSession(machine, { id, input } as never)
  for (const event of events) await runtime.updateSession(id, event as never)
}
