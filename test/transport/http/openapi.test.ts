import { Validator } from '@seriousme/openapi-schema-validator'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openApiText } from '../../../transport/http/openapi.ts'
import { routes } from '../../../transport/http/routes.ts'
import { startRig, type Rig } from '../support/gateway-rig.ts'
import { send } from './http-client.ts'

interface Operation {
  readonly operationId: string
  readonly parameters: readonly { readonly name: string; readonly in: string }[]
  readonly requestBody?: { content: { 'application/json': { schema: { properties?: object } } } }
  readonly responses: Readonly<Record<string, { content?: object }>>
}

interface Document {
  readonly openapi: string
  readonly servers: readonly { readonly url: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly security?: object[]
}

let rig: Rig
beforeAll(async () => {
  rig = await startRig()
})
afterAll(() => rig.stop())

const document = (): Document => JSON.parse(openApiText('', false)) as Document

describe('openapi.json', () => {
  it.each(['', '/api'])('is valid OpenAPI 3.1, below %j too', async (base) => {
    for (const isAuthenticated of [false, true]) {
      const text = openApiText(base, isAuthenticated)
      const { valid, errors } = await new Validator().validate(JSON.parse(text) as Record<string, unknown>)
      expect(errors).toBeUndefined()
      expect(valid).toBe(true)
      const { openapi, servers, security } = JSON.parse(text) as Document
      expect([openapi, servers[0]?.url]).toEqual(['3.1.0', base || '/'])
      expect(security !== undefined).toBe(isAuthenticated)
    }
  })

  it('has each route of the table, and no other', () => {
    const described = Object.entries(document().paths).flatMap(([path, verbs]) =>
      Object.keys(verbs).map((verb) => `${verb.toUpperCase()} ${path}`),
    )
    expect(described.sort()).toEqual(routes.map(({ verb, path }) => `${verb} ${path}`).sort())
    const names = Object.values(document().paths).flatMap((verbs) =>
      Object.values(verbs).map(({ operationId }) => operationId),
    )
    expect(new Set(names).size).toBe(routes.length)
  })

  it('says what requests hold and what is answered', () => {
    const { paths } = document()
    const update = paths['/sessions/{id}/events']?.['post']
    expect(update?.parameters.map((each) => `${each.in} ${each.name}`)).toEqual([
      'path id',
      'header Idempotency-Key',
      'header If-Match',
    ])
    for (const status of ['200', '400', '404', '409', '412', '413', '415', '422', '429', '503', '504'])
      expect(update?.responses, status).toHaveProperty(status)
    const create = paths['/sessions']?.['post']
    expect(Object.keys(create?.requestBody?.content['application/json'].schema.properties ?? {})).toEqual([
      'machine',
      'id',
      'input',
      'ifExists',
    ])
    expect(Object.keys(create?.responses ?? {})).toEqual(expect.arrayContaining(['200', '201']))
    expect(paths['/sessions/{id}/updates']?.['get']?.responses['200']?.content).toHaveProperty(
      'text/event-stream',
    )
    expect(paths['/sessions/{id}']?.['get']?.responses).toHaveProperty('304')
  })

  it('is served', async () => {
    const { status, json } = await send(rig.port, 'GET /openapi.json')
    expect(status).toBe(200)
    expect(json).toEqual(document())
    expect((await send(rig.port, 'GET /openapi.json?x=1')).status).toBe(400)
  })
})
