import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { TroupeError, errorKinds, type ErrorCode } from '../../../actors/errors.ts'
import { StoreFailure } from '../../../actors/ports.ts'
import { HttpError, problemHeaders, problemText, statusOf } from '../../../transport/http/problem.ts'
import { startRig, type Rig } from '../support/gateway-rig.ts'
import { send } from './http-client.ts'

const codes = Object.keys(errorKinds) as ErrorCode[]

describe('problems', () => {
  it('have a status for each word of the catalogue, and docs/guide/http.md lists them', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/guide/http.md'), 'utf8')
    const rows = [...page.matchAll(/^\| `(\w+)` +\| (\d+)/gm)].map(([, code, status]) => [
      code,
      Number(status),
    ])
    expect(rows).toEqual(codes.map((code) => [code, statusOf(new TroupeError(code, ''))]))
    for (const code of codes)
      expect(statusOf(new TroupeError(code, ''))).toSatisfy((of: number) => of >= 400 && of < 600)
  })

  it('that may pass say when to ask again', () => {
    for (const code of codes) {
      const error = new TroupeError(code, '')
      const asksAgain = [429, 503].includes(statusOf(error))
      expect(problemHeaders(error)['Retry-After'], code).toBe(asksAgain ? 1 : undefined)
      if (asksAgain) expect(error.retryable, code).toBe(true)
    }
  })

  it('keep word and status whatever the details are', () => {
    const circle: Record<string, unknown> = { big: 1n }
    circle['self'] = circle
    expect(JSON.parse(problemText(new TroupeError('internal', 'x', { details: circle })))).toMatchObject({
      code: 'internal',
      details: {},
    })
    expect(JSON.parse(problemText(new HttpError(415, 'invalid_request', 'No.')))).toEqual({
      type: 'about:blank',
      title: 'Unsupported Media Type',
      status: 415,
      detail: 'No.',
      code: 'invalid_request',
      retryable: false,
      details: {},
    })
  })
})

describe('a request that fails', () => {
  let rig: Rig
  afterEach(() => rig.stop())

  it('is answered by a problem that tells what happened, and of faults nothing but that', async () => {
    rig = await startRig()
    const fail = async (failure: Error) => {
      rig.service.failure = failure
      return send(rig.port, 'GET /sessions/a')
    }
    const away = await fail(new StoreFailure('not-applied', 'secret'))
    expect([away.status, away.headers['retry-after'], away.headers['content-type']]).toEqual([
      503,
      '1',
      'application/problem+json',
    ])
    expect((await fail(new StoreFailure('unknown', 'x'))).json).toMatchObject({
      status: 504,
      code: 'timeout',
      details: { outcome: 'unknown' },
    })
    const fault = await fail(new Error('secret'))
    expect(fault.json).toMatchObject({ status: 500, code: 'internal' })
    expect(away.text + fault.text).not.toContain('secret')
    expect(rig.log.at('error')).toEqual(['a request failed'])
    const misplaced = await fail(
      new TroupeError('unknown_machine_version', 'Not here.', { details: { elsewhere: true } }),
    )
    expect([misplaced.status, misplaced.headers.connection]).toEqual([503, 'close'])
  })
})
