import type { StandardSchemaV1 } from '@standard-schema/spec'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { validate } from '../../actors/validate.ts'
import { faultOf } from './fault-of.ts'

/** A Standard Schema of no library. */
function schemaOf<T>(
  check: (value: unknown) => StandardSchemaV1.Result<T> | Promise<StandardSchemaV1.Result<T>>,
): StandardSchemaV1<unknown, T> {
  return { '~standard': { version: 1, vendor: 'by-hand', validate: check } }
}

describe('checking a value with a schema', () => {
  it('zod: what the schema returns is what counts', () => {
    const schema = z.object({ type: z.literal('PUT'), count: z.int().default(1) })
    expect(validate(schema, { type: 'PUT', more: true }, 'event')).toEqual({ type: 'PUT', count: 1 })
  })

  it('zod: each issue with its path', () => {
    const schema = z.object({ items: z.array(z.object({ sku: z.string() })), owner: z.string() })
    const fault = faultOf(() => validate(schema, { items: [{ sku: 'a' }, { sku: 2 }] }, 'event'))
    expect(fault.code).toBe('event_invalid')
    expect(fault.details).toEqual({
      issues: [
        { path: ['items', '1', 'sku'], message: expect.any(String) as string },
        { path: ['owner'], message: expect.any(String) as string },
      ],
    })
    expect(fault.message).toMatch(/^event\.items\.1\.sku: .+; event\.owner: .+/)
  })

  it('any other Standard Schema: paths as keys and as segments, and none at all', () => {
    const schema = schemaOf(() => ({
      issues: [
        { message: 'too odd', path: ['a', { key: 0 }, { key: Symbol('s') }] },
        { message: 'just wrong' },
      ],
    }))
    const fault = faultOf(() => validate(schema, 1, 'input'))
    expect(fault.message).toBe('input.a.0.Symbol(s): too odd; input: just wrong')
    expect(fault.details).toEqual({
      issues: [
        { path: ['a', '0', 'Symbol(s)'], message: 'too odd' },
        { path: [], message: 'just wrong' },
      ],
    })
    expect(
      validate(
        schemaOf((value) => ({ value: [value] })),
        5,
        'input',
      ),
    ).toEqual([5])
  })

  it('a schema that throws: too deep for it, or broken', () => {
    const deep = JSON.parse('['.repeat(20_000) + ']'.repeat(20_000)) as unknown
    expect(faultOf(() => validate(z.json(), deep, 'event'))).toMatchObject({
      code: 'event_invalid',
      message: 'event: is nested too deeply',
    })
    const broken = schemaOf(() => {
      throw new Error('by design')
    })
    expect(faultOf(() => validate(broken, 1, 'input'))).toMatchObject({
      code: 'internal',
      message: 'the input schema failed: by design',
    })
  })

  it('an asynchronous schema is refused, and its failure ends nothing', async () => {
    const later = schemaOf(() => Promise.reject(new Error('nobody waits for this')))
    expect(faultOf(() => validate(later, 1, 'event'))).toMatchObject({
      code: 'internal',
      message: /event schema did not answer at once: .*asynchronous/,
    })
    await new Promise((resolve) => setImmediate(resolve))
  })
})
