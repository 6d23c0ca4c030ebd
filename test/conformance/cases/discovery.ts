/** rpc.discover. */
import { z } from 'zod'
import { methods, notifications } from '../../../transport/protocol/messages.ts'
import { check, same } from '../broken.ts'
import type { Case } from '../case.ts'

const schema = z.looseObject({})
const param = z.looseObject({ name: z.string().min(1), required: z.boolean().optional(), schema })

/** OpenRPC 1.3 as far as this protocol can use it: https://spec.open-rpc.org */
const openRpc = z.looseObject({
  openrpc: z.string().regex(/^1\.3\.\d+$/),
  info: z.looseObject({ title: z.string(), version: z.string() }),
  methods: z.array(
    z.looseObject({
      name: z.string().min(1),
      paramStructure: z.enum(['by-name', 'by-position', 'either']).optional(),
      params: z.array(param),
      result: z.looseObject({ name: z.string(), schema }),
      errors: z.array(z.looseObject({ code: z.int(), message: z.string() })).optional(),
    }),
  ),
  'x-notifications': z.array(z.looseObject({ name: z.string(), params: z.array(param) })),
})

export const discoveryCases: readonly Case[] = [
  {
    name: 'discover',
    rule: 'rpc.discover answers with an OpenRPC document that has every method, its params, its result and its errors.',
    async run(scene) {
      const peer = await scene.open()
      const parsed = openRpc.safeParse(await peer.result('rpc.discover', {}))
      check(parsed.success, `not OpenRPC: ${parsed.error?.message ?? ''}`)
      const document = parsed.data
      same('the methods', new Set(document.methods.map(({ name }) => name)), new Set(Object.keys(methods)))
      same('methods named twice', document.methods.length, Object.keys(methods).length)
      for (const { name, params } of document.methods) {
        const wanted = z.toJSONSchema(methods[name as keyof typeof methods].params)
        same(
          `the params of ${name}`,
          params.map((one) => [one.name, one.required === true]),
          Object.keys(wanted.properties ?? {}).map((key) => [key, wanted.required?.includes(key) === true]),
        )
        const firstOptional = params.findIndex(({ required }) => required !== true)
        check(
          firstOptional < 0 || params.slice(firstOptional).every(({ required }) => required !== true),
          `${name}: OpenRPC wants what is required before what is optional`,
        )
      }
      same(
        'the notifications',
        new Set(document['x-notifications'].map(({ name }) => name)),
        new Set(Object.keys(notifications)),
      )
    },
  },
]
