import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { TroupeError, errorKinds } from '../../actors/errors.ts'
import { StoreFailure } from '../../actors/ports.ts'
import { closeKinds } from '../../transport/protocol/close-codes.ts'
import { parseFrame } from '../../transport/protocol/codec.ts'
import { errorText, toTroupeError } from '../../transport/protocol/failures.ts'
import { PROTOCOL_VERSION, commonErrors, methods, notifications } from '../../transport/protocol/messages.ts'
import { openRpcText } from '../../transport/protocol/openrpc.ts'
import { protocolReference } from '../../transport/protocol/reference.ts'

const limits = { maxBatchLength: 3 }

/** All schemas as they were in each version of the protocol. */
const hashes: Record<number, string> = {
  1: '885ef7539d36c67b',
  2: 'cabb8ec98dcffd3c',
  3: '1fc2b798bd850197',
  4: '82933d1292235d4b',
}

describe('the description', () => {
  it('docs/protocol.md is what the schemas say', async () => {
    await expect(protocolReference()).toMatchFileSnapshot('../../docs/protocol.md')
  })

  it('a changed message has a new protocol version', () => {
    const all: Record<string, { params: z.ZodType; result?: z.ZodType }> = { ...methods, ...notifications }
    const shapes = Object.entries(all).map(([name, { params, result }]) => [
      name,
      z.toJSONSchema(params),
      result === undefined ? null : z.toJSONSchema(result),
    ])
    // Words may be improved freely.
    const text = JSON.stringify(shapes, (name, value: unknown) =>
      name === 'description' ? undefined : value,
    )
    const hash = createHash('sha256').update(text).digest('hex').slice(0, 16)
    // If this fails: raise PROTOCOL_VERSION and add the new hash here.
    expect({ version: PROTOCOL_VERSION, hash }).toEqual({
      version: PROTOCOL_VERSION,
      hash: hashes[PROTOCOL_VERSION],
    })
    expect(Math.max(...Object.keys(hashes).map(Number))).toBe(PROTOCOL_VERSION)
  })

  it('lists exactly the errors of the catalogue', () => {
    const section = protocolReference().split('## Errors')[1]?.split('## Close codes')[0] ?? ''
    const rows = [...section.matchAll(/^\| `(\w+)` \| (-\d+) \|/gm)].map(([, word, code]) => [
      word,
      Number(code),
    ])
    expect(rows).toEqual(Object.entries(errorKinds).map(([word, kind]) => [word, kind.rpc]))
    const named = new Set([
      ...commonErrors,
      ...Object.values(methods).flatMap((method) => [...method.errors]),
    ])
    expect([...named].sort()).toEqual(Object.keys(errorKinds).sort())
  })

  it('has codes that are unique and in their ranges', () => {
    const rpc = Object.values(errorKinds).map((kind) => kind.rpc)
    expect(new Set(rpc).size).toBe(rpc.length)
    for (const { code, reason } of Object.values(closeKinds)) {
      expect(code).toBeGreaterThanOrEqual(4000)
      expect(code).toBeLessThan(5000)
      expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123)
    }
  })

  it('is an OpenRPC document with every method', () => {
    const document = JSON.parse(openRpcText()) as {
      openrpc: string
      methods: { name: string; params: object[] }[]
    }
    expect(document.openrpc).toBe('1.3.2')
    expect(document.methods.map((method) => method.name)).toEqual(Object.keys(methods))
    expect(document.methods[2]?.params).toMatchObject([
      { name: 'id', required: true },
      { name: 'event', required: true },
      { name: 'key', required: false },
      { name: 'ifVersion', required: false },
    ])
  })
})

describe('params', () => {
  it.each<[keyof typeof methods, object, boolean]>([
    ['updateSession', { id: 'a', event: { type: 'ADD', more: [1] }, ifVersion: 3 }, true],
    ['updateSession', { id: 'a', event: { type: 'ADD' }, ifVersion: { epoch: '12', version: 3 } }, true],
    ['updateSession', { id: 'a', event: { type: 'ADD' }, ifversion: 3 }, false],
    ['updateSession', { id: 'a', event: { type: 'ADD' }, ifVersion: 0 }, false],
    ['updateSession', { id: 'a', event: { type: 'ADD' }, ifVersion: 1e300 }, false],
    ['updateSession', { id: 'a', event: { type: '' } }, false],
    ['updateSession', { id: 'a', event: 'ADD' }, false],
    ['updateSession', { id: 'a', event: ['ADD'] }, false],
    ['updateSession', { id: 'a\n', event: { type: 'ADD' } }, false],
    ['getSession', { id: 'order:7@shop.example~v1' }, true],
    ['getSession', { id: '' }, false],
    ['getSession', { id: 'x'.repeat(129) }, false],
    ['getSession', { id: '../a' }, false],
    ['getSession', ['a'], false],
    ['broadcastToSession', { id: 'a', message: null }, true],
    ['broadcastToSession', { id: 'a' }, false],
    ['createSession', { machine: 'm' }, true],
    ['createSession', { machine: 'm', ifExists: 'maybe' }, false],
    ['subscribe', { id: 'a', since: { epoch: '007', version: 1 } }, false],
    ['subscribe', { id: 'a', presence: true }, true],
    ['subscribe', { id: 'a', presence: 'all' }, false],
  ])('%s %j: %s', (method, params, valid) => {
    expect(methods[method].params.safeParse(params).success).toBe(valid)
  })
})

describe('frames', () => {
  const parsed = (frame: string): unknown => {
    const result = parseFrame(frame, limits)
    switch (result.kind) {
      case 'refusal':
        return [result.idText, result.error.code]
      case 'request':
        return [result.idText, result.method, result.params]
      case 'batch':
        return result.entries.length
    }
  }
  const request = (members: string): string => `{"jsonrpc":"2.0","method":"m",${members}}`

  it.each<[string, unknown]>([
    [request('"id":1,"params":{"a":1}'), ['1', 'm', { a: 1 }]],
    [request('"id":"x\\"y"'), ['"x\\"y"', 'm', {}]],
    [request('"id":null'), ['null', 'm', {}]],
    [request('"id":1.5'), ['1.5', 'm', {}]],
    ['{"jsonrpc":"2.0","method":"m"}', [null, 'm', {}]],
    [request('"id":1,"id":2'), ['2', 'm', {}]],
    [request('"id":12345678901234567890'), ['null', 'invalid_request']],
    [request('"id":1e999'), ['null', 'invalid_request']],
    [request('"id":true'), ['null', 'invalid_request']],
    [request('"id":{}'), ['null', 'invalid_request']],
    [request('"id":1,"params":null'), ['1', 'invalid_request']],
    [request('"id":1,"params":"x"'), ['1', 'invalid_request']],
    ['{"jsonrpc":"1.0","id":4,"method":"m"}', ['4', 'invalid_request']],
    ['{"jsonrpc":"2.0","id":4,"method":7}', ['4', 'invalid_request']],
    ['{"jsonrpc":"2.0","id":4,"result":7}', ['4', 'invalid_request']],
    ['', ['null', 'parse_error']],
    ['nonsense', ['null', 'parse_error']],
    ['"text"', ['null', 'invalid_request']],
    ['null', ['null', 'invalid_request']],
    ['[]', ['null', 'invalid_request']],
    ['[1,2,3]', 3],
    ['[1,2,3,4]', ['null', 'invalid_request']],
    [request('"id":1,"params":{"a":{"__proto__":{"x":1}}}'), ['1', 'invalid_request']],
    [request('"id":1,"params":{"_\\u005fproto__":1}'), ['1', 'invalid_request']],
    [request('"id":1,"params":{"a":"__proto__"}'), ['1', 'm', { a: '__proto__' }]],
    [request('"id":1,"params":{"a":"\\ud800"}'), ['1', 'm', { a: '\ud800' }]],
    [request(`"id":1,"params":${'['.repeat(63)}${']'.repeat(63)}`), ['1', 'm', expect.anything()]],
    [request(`"id":1,"params":${'['.repeat(64)}${']'.repeat(64)}`), ['null', 'parse_error']],
    [request(`"id":1,"params":{"a":"${'['.repeat(99)}\\"${'{'.repeat(99)}"}`), ['1', 'm', expect.anything()]],
    ['['.repeat(100_000), ['null', 'parse_error']],
  ])('frame %#', (frame, expected) => {
    expect(parsed(frame), frame.slice(0, 100)).toEqual(expected)
  })
})

describe('failures', () => {
  it('keep the stable word whatever the details say', () => {
    const error = new TroupeError('version_conflict', 'No.', {
      details: { code: 'mine', retryable: true, version: 3 },
    })
    expect(JSON.parse(errorText(error))).toEqual({
      code: -32002,
      message: 'No.',
      data: { code: 'version_conflict', retryable: false, version: 3 },
    })
    const circle: Record<string, unknown> = { big: 1n }
    circle['self'] = circle
    expect(JSON.parse(errorText(new TroupeError('internal', 'x', { details: circle })))).toMatchObject({
      code: -32603,
    })
  })

  it('tell whether something may have been applied', () => {
    expect(toTroupeError(new StoreFailure('not-applied', 'x'))).toMatchObject({ code: 'unavailable' })
    expect(toTroupeError(new StoreFailure('unknown', 'x'))).toMatchObject({
      code: 'timeout',
      details: { outcome: 'unknown' },
    })
    expect(toTroupeError('thrown text')).toMatchObject({ code: 'internal' })
  })
})
