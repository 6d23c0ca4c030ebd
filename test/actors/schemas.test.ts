/** Definitions accept the schemas of any library: the same cases on each. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { type } from 'arktype'
import { Type } from 'typebox'
import type { TSchema } from 'typebox'
import { Check, Errors } from 'typebox/value'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { assign, emit, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../../actors/define-session.ts'
import type { SessionDefinition } from '../../actors/define-session.ts'
import { Registry } from '../../actors/registry.ts'
import { Driven } from './driven.ts'
import { faultOf } from './fault-of.ts'

type Schema = StandardSchemaV1<unknown, unknown>

interface Library {
  readonly events: Schema
  readonly input: Schema
  readonly context: Schema
  readonly output: Schema
  readonly emitted: Schema
  /** Accepts every event, but not at once. */
  readonly late: Schema
}

/** TypeBox has no `~standard` of its own: a schema is plain JSON Schema. */
function ofTypeBox(schema: TSchema): Schema {
  return {
    '~standard': {
      version: 1,
      vendor: 'typebox',
      validate: (value) =>
        Check(schema, value)
          ? { value }
          : {
              issues: Errors(schema, value).map(({ instancePath, message }) => ({
                message,
                path: instancePath.split('/').slice(1),
              })),
            },
    },
  }
}

/** For libraries that have no asynchronous schemas. */
function lateOf(schema: Schema): Schema {
  const { vendor, validate } = schema['~standard']
  return { '~standard': { version: 1, vendor, validate: async (value) => await validate(value) } }
}

const arkEvents = type({ type: "'ADD'", item: { sku: 'string', count: 'number' } })
  .or({ type: "'SAY'", text: 'string' })
  .or({ type: "'END'" })
const boxEvents = ofTypeBox(
  Type.Union([
    Type.Object({
      type: Type.Literal('ADD'),
      item: Type.Object({ sku: Type.String(), count: Type.Number() }),
    }),
    Type.Object({ type: Type.Literal('SAY'), text: Type.String() }),
    Type.Object({ type: Type.Literal('END') }),
  ]),
)

const libraries: Readonly<Record<string, Library>> = {
  zod: {
    events: z.discriminatedUnion('type', [
      z.object({ type: z.literal('ADD'), item: z.object({ sku: z.string(), count: z.number() }) }),
      z.object({ type: z.literal('SAY'), text: z.string() }),
      z.object({ type: z.literal('END') }),
    ]),
    input: z.object({ limits: z.object({ start: z.number() }) }),
    context: z.object({ sum: z.number().max(10) }),
    output: z.object({ total: z.number().max(5) }),
    emitted: z.object({ type: z.literal('said'), text: z.string().max(5) }),
    late: z.looseObject({ type: z.string() }).refine(async () => await Promise.resolve(true)),
  },
  valibot: {
    events: v.variant('type', [
      v.object({ type: v.literal('ADD'), item: v.object({ sku: v.string(), count: v.number() }) }),
      v.object({ type: v.literal('SAY'), text: v.string() }),
      v.object({ type: v.literal('END') }),
    ]),
    input: v.object({ limits: v.object({ start: v.number() }) }),
    context: v.object({ sum: v.pipe(v.number(), v.maxValue(10)) }),
    output: v.object({ total: v.pipe(v.number(), v.maxValue(5)) }),
    emitted: v.object({ type: v.literal('said'), text: v.pipe(v.string(), v.maxLength(5)) }),
    late: v.pipeAsync(
      v.looseObject({ type: v.string() }),
      v.checkAsync(async () => await Promise.resolve(true)),
    ),
  },
  arktype: {
    events: arkEvents,
    input: type({ limits: { start: 'number' } }),
    context: type({ sum: 'number <= 10' }),
    output: type({ total: 'number <= 5' }),
    emitted: type({ type: "'said'", text: 'string <= 5' }),
    late: lateOf(arkEvents),
  },
  typebox: {
    events: boxEvents,
    input: ofTypeBox(Type.Object({ limits: Type.Object({ start: Type.Number() }) })),
    context: ofTypeBox(Type.Object({ sum: Type.Number({ maximum: 10 }) })),
    output: ofTypeBox(Type.Object({ total: Type.Number({ maximum: 5 }) })),
    emitted: ofTypeBox(Type.Object({ type: Type.Literal('said'), text: Type.String({ maxLength: 5 }) })),
    late: lateOf(boxEvents),
  },
}

const typed = setup({
  types: {} as {
    context: { sum: number }
    input: { limits: { start: number } }
    events:
      { type: 'ADD'; item: { sku: string; count: number } } | { type: 'SAY'; text: string } | { type: 'END' }
    emitted: { type: 'said'; text: string }
  },
})
const machine = typed.createMachine({
  context: ({ input }) => ({ sum: input.limits.start }),
  initial: 'open',
  output: ({ context }) => ({ total: context.sum }),
  states: {
    open: {
      on: {
        ADD: { actions: assign({ sum: ({ context, event }) => context.sum + event.item.count }) },
        SAY: { actions: emit(({ event }) => ({ type: 'said', text: event.text })) },
        END: 'end',
      },
    },
    end: { type: 'final' },
  },
})

const START = { limits: { start: 1 } }
const add = (count: unknown): object => ({ item: { sku: 'a', count } })

describe.each(Object.entries(libraries))('schemas of %s', (_name, { late, ...schemas }) => {
  const definition = {
    ...defineSession({ name: 'driven', version: 1, machine }),
    ...schemas,
  }
  const start = (): Driven => new Driven(definition, START)

  it('a runtime accepts the definition', () => {
    expect(() => new Registry().register(definition as SessionDefinition)).not.toThrow()
  })

  it('what fits passes: input, event, context, emitted event, output', () => {
    const session = start()
    session.send('ADD', add(2))
    expect(session.context).toEqual({ sum: 3 })
    session.send('SAY', { text: 'hello' })
    expect(session.plan.emitted).toEqual(['{"type":"said","text":"hello"}'])
    session.send('END')
    expect(session.state).toMatchObject({ status: 'done', output: { total: 3 } })
  })

  it('an event that does not fit is refused with the path', () => {
    const session = start()
    const before = session.plan
    const fault = faultOf(() => session.send('ADD', add('two')))
    expect(fault.code).toBe('event_invalid')
    expect(fault.message).toMatch(/\bevent\.item\.count: ./)
    expect((fault.details as { issues: unknown[] }).issues).toContainEqual({
      path: ['item', 'count'],
      message: expect.any(String) as string,
    })
    expect(session.plan).toBe(before)
  })

  it('an event of no known type is refused', () => {
    expect(faultOf(() => start().send('OTHER')).code).toBe('event_invalid')
  })

  it('an input that does not fit is refused with the path', () => {
    const fault = faultOf(() => new Driven(definition, { limits: { start: 'one' } }))
    expect(fault.code).toBe('event_invalid')
    expect(fault.message).toMatch(/^input\.limits\.start: ./)
  })

  it('what is wrong as a whole has no path', () => {
    const fault = faultOf(() => new Driven(definition, 'nothing'))
    expect(fault.message).toMatch(/^input: ./)
    expect(fault.details).toEqual({ issues: [{ path: [], message: expect.any(String) as string }] })
  })

  it('a context that does not fit is reported at the transition, as the fault of the machine', () => {
    const session = start()
    const before = session.plan
    const fault = faultOf(() => session.send('ADD', add(10)))
    expect(fault.code).toBe('internal')
    expect(fault.message).toMatch(/failed while handling "ADD" in state "open": context\.sum: ./)
    expect(session.plan).toBe(before)
    session.send('ADD', add(1))
    expect(session.context).toEqual({ sum: 2 })
  })

  it('so are an output and an emitted event', () => {
    const session = start()
    expect(faultOf(() => session.send('SAY', { text: 'too long' })).message).toMatch(
      /handling "SAY" .+: emitted event\.text: ./,
    )
    session.send('ADD', add(7))
    expect(faultOf(() => session.send('END')).message).toMatch(/handling "END" .+: output\.total: ./)
  })

  it('an asynchronous schema is refused with a clear error', () => {
    const session = new Driven({ ...definition, events: late }, START)
    const fault = faultOf(() => session.send('END'))
    expect(fault.code).toBe('internal')
    expect(fault.message).toMatch(/^the event schema did not answer at once: .*asynchronous/)
  })
})
