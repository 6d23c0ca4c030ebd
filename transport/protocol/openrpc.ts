/** The answer of `rpc.discover`: the schemas as an OpenRPC document. */
import { z } from 'zod'
import { errorKinds, type ErrorCode } from '../../actors/errors.ts'
import { PROTOCOL_VERSION, commonErrors, methods, notifications } from './messages.ts'

/** JSON Schema of a message, in the parts that this project uses. */
export interface JsonSchema {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly enum?: readonly string[]
  readonly additionalProperties?: boolean | JsonSchema
}

export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const schemaAndDialect = Object.entries(z.toJSONSchema(schema))
  return Object.fromEntries(schemaAndDialect.filter(([name]) => name !== '$schema'))
}

/** JSON text. */
export function openRpcText(): string {
  return JSON.stringify({
    openrpc: '1.3.2',
    info: {
      title: 'Troupe',
      version: String(PROTOCOL_VERSION),
      description: 'JSON-RPC 2.0 over WebSocket. Notifications to the client stand under `x-notifications`.',
    },
    methods: Object.entries(methods).map(([name, method]) => ({
      name,
      summary: method.summary,
      paramStructure: 'by-name',
      params: paramsOf(jsonSchemaOf(method.params)),
      result: { name: 'result', schema: jsonSchemaOf(method.result) },
      errors: [...commonErrors, ...method.errors].map(errorObject),
    })),
    'x-notifications': Object.entries(notifications).map(([name, notification]) => ({
      name,
      summary: notification.summary,
      params: paramsOf(jsonSchemaOf(notification.params)),
    })),
  })
}

function paramsOf(schema: JsonSchema): object[] {
  return Object.entries(schema.properties ?? {}).map(([name, member]) => ({
    name,
    required: schema.required?.includes(name) ?? false,
    schema: member,
  }))
}

function errorObject(code: ErrorCode): object {
  const { rpc, retryable, meaning } = errorKinds[code]
  return { code: rpc, message: meaning, data: { code, retryable } }
}
