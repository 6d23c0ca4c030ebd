/** docs/protocol.md, written from the schemas, the catalogue of errors, the close codes and the limits. */
import { errorKinds } from '../../actors/errors.ts'
import { limitTable } from '../gateway/limits.ts'
import { closeKinds } from './close-codes.ts'
import { MAX_DEPTH, PROTOCOL_VERSION, SUBPROTOCOL, commonErrors, methods, notifications } from './messages.ts'
import { jsonSchemaOf, type JsonSchema } from './openrpc.ts'

const view: JsonSchema = jsonSchemaOf(methods.getSession.result).anyOf?.[0] ?? {}
const viewMembers: readonly string[] = Object.keys(view.properties ?? {})

/** The whole page as Markdown. */
export function protocolReference(): string {
  const parts = [
    introduction(),
    '## The view\n\nA session as its clients see it.',
    membersTable(view),
    '## Methods',
    ...Object.entries(methods).map(([name, method]) => methodSection(name, method)),
    '## Notifications',
    ...Object.entries(notifications).map(([name, notification]) => notificationSection(name, notification)),
    rules(),
    errors(),
    closeCodes(),
    limits(),
  ]
  return `${parts.join('\n\n')}\n`
}

function introduction(): string {
  return `# The protocol

<!-- Generated from transport/protocol; \`npx vitest run test/transport -u\` writes it anew. -->

Version ${PROTOCOL_VERSION}. JSON-RPC 2.0 over a WebSocket at \`/ws\`; a client may ask for the subprotocol \`${SUBPROTOCOL}\` or for none.
One text frame holds one request, or a batch of them as an array. Params are given by name. \`rpc.discover\` answers with this
description as an OpenRPC document. Whether a server keeps all of this, \`npm run conformance -- ws://host:port/ws\` tells.

\`\`\`
→ {"jsonrpc":"2.0","id":1,"method":"createSession","params":{"machine":"document","id":"greeting","subscribe":true}}
← {"jsonrpc":"2.0","id":1,"result":{"created":true,"id":"greeting","machine":"document","epoch":"1764000000000000","version":1,…}}
→ {"jsonrpc":"2.0","id":2,"method":"updateSession","params":{"id":"greeting","event":{"type":"MERGE","state":{"text":"hello"}}}}
← {"jsonrpc":"2.0","id":2,"result":{"outcome":"committed","applied":2,"id":"greeting",…,"version":2,…}}
\`\`\``
}

function methodSection(name: string, method: (typeof methods)[keyof typeof methods]): string {
  const params = jsonSchemaOf(method.params)
  return [
    `### \`${name}\``,
    method.summary,
    Object.keys(params.properties ?? {}).length === 0 ? 'No params.' : membersTable(params),
    resultText(jsonSchemaOf(method.result)),
    ...(method.errors.length === 0
      ? []
      : [`Errors of its own: ${method.errors.map((code) => `\`${code}\``).join(', ')}.`]),
  ].join('\n\n')
}

function notificationSection(
  name: string,
  notification: (typeof notifications)[keyof typeof notifications],
): string {
  const { anyOf, ...params } = jsonSchemaOf(notification.params)
  return [
    `### \`${name}\``,
    notification.summary,
    ...(anyOf ?? [params]).map((each) => paramsText(each)),
  ].join('\n\n')
}

function paramsText(params: JsonSchema): string {
  if (isView(params)) return `Params: ${viewAnd(params)}`
  const { description } = params
  return `${description === undefined ? '' : `${description}\n\n`}${membersTable(params)}`
}

function resultText(schema: JsonSchema): string {
  if (isView(schema)) return `Result: ${viewAnd(schema)}`
  const members = Object.keys(schema.properties ?? {})
  return members.length === 0 ? `Result: ${typeText(schema)}.` : `Result:\n\n${membersTable(schema)}`
}

function isView(schema: JsonSchema): boolean {
  return schema.properties !== undefined && viewMembers.every((name) => name in (schema.properties ?? {}))
}

function viewAnd(schema: JsonSchema): string {
  const own = Object.fromEntries(
    Object.entries(schema.properties ?? {}).filter(([name]) => !viewMembers.includes(name)),
  )
  if (Object.keys(own).length === 0) return 'the [view](#the-view).'
  return `the members of the [view](#the-view), and:\n\n${membersTable({ ...schema, properties: own })}`
}

function membersTable(schema: JsonSchema): string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, member]) => {
    const optional = schema.required?.includes(name) === true ? '' : '?'
    return `| \`${name}${optional}\` | ${cell(typeText(member))} | ${cell(member.description ?? '')} |`
  })
  return ['| member | type | meaning |', '|---|---|---|', ...rows].join('\n')
}

function typeText(schema: JsonSchema): string {
  if (isView(schema)) return '[view](#the-view)'
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeText).join(' or ')
  if (schema.enum !== undefined) return schema.enum.map((word) => `\`"${word}"\``).join(' or ')
  if (schema.type === 'array') return `array of ${typeText(schema.items ?? {})}`
  if (schema.type === 'object') {
    const members = Object.keys(schema.properties ?? {})
    const open = schema.additionalProperties !== false
    return `\`{${[...members, ...(open && members.length > 0 ? ['…'] : [])].join(', ')}}\``
  }
  return [schema.type ?? 'JSON'].flat().join(' or ')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

function rules(): string {
  return `## Rules

- **Order.** Requests of one connection for one session take effect in the order sent, within and across batches; requests for
  different sessions do not wait for each other, and replies may come in another order than requests. A batch is answered by one
  array when its last request is done.
- **No id, no answer.** A request without \`id\` runs and is not answered, not even with an error.
- **One stream.** What a connection gets of a session, by reply or notification, never goes back to an older position. The
  connection that caused an update gets it in its reply and not a second time; a reply carries the newest state that the
  connection may know of, so it can be newer than the request made it. In \`sessionUpdated\` versions may be skipped.
- **Deltas.** After \`subscribe\` with \`delta\`, \`sessionUpdated\` may carry a \`patch\` (JSON Patch, RFC 6902) instead of the view. It is to be applied to the last view of
  the session that this connection has got, by reply or notification, without what these carry beside it (\`events\`, \`outcome\`, \`applied\`, \`created\`). The first update is a whole view if the
  reply of \`subscribe\` carried none, or the connection has authenticated anew since. \`baseVersion\` is the version of that view: where a client has another one, it has made a mistake, and subscribes anew.
- **Emitted events** of a transition come before its view, in the order of versions, each at most once.
- **Presence.** The list in the reply of \`subscribe\` and each \`presenceChanged\` after it make the list as it is: each member joins once and leaves once. Changes that come before that reply, if it is part of
  a batch, are in its list. \`client\` is a connection and not a person: it is another one after connecting again, and a principal may have several. Connections that did not ask are listed too. \`gap\` with \`presence\` tells
  that the list may be out of date; subscribe again to get it. Connections of a process that died leave within 15 s.
- **Messages** (\`broadcastToSession\`) come at most once. \`gap\` tells that messages or emitted events may be missing.
- **The end.** \`sessionEnded\` ends the subscription, as does the reply of one's own \`deleteSession\`. If the id is used again, subscribe again.
- **Retries.** Give \`updateSession\` and \`createSession\` a \`key\`: after a lost connection, or \`timeout\`, send the same again with the
  same key, and it is applied once.
- **Heartbeat.** The server pings; every WebSocket library answers by itself.
- **Refused.** Binary frames; frames that nest deeper than ${MAX_DEPTH} levels; members named \`__proto__\`; numbers as \`id\` that a double does
  not hold exactly; unknown members of params (a misspelt \`ifVersion\` must not be ignored); texts with a NUL or half of a surrogate pair in
  events, inputs and messages (\`event_invalid\`).
- **Pages.** A browser page may connect if its origin is on the server's list; without a list only pages of the same machine may.`
}

function errors(): string {
  const rows = Object.entries(errorKinds).map(
    ([word, kind]) =>
      `| \`${word}\` | ${kind.rpc} | ${kind.retryable ? 'yes' : 'no'} | ${cell(kind.meaning)} |`,
  )
  return `## Errors

\`{"code": <number>, "message": <sentence>, "data": {"code": <word>, "retryable": <boolean>, …}}\`. Programs go by the word. Any request can meet
${commonErrors.map((code) => `\`${code}\``).join(', ')}.

| word | code | retryable | meaning |
|---|---|---|---|
${rows.join('\n')}`
}

function closeCodes(): string {
  const rows = Object.entries(closeKinds).map(
    ([word, kind]) => `| ${kind.code} | \`${word}\` | ${cell(kind.meaning)} |`,
  )
  return `## Close codes

4000 to 4499: come back. 4500 to 4999: stay away until something is changed.

| code | name | meaning |
|---|---|---|
${rows.join('\n')}
| 1002, 1007 | | The client broke the WebSocket protocol, or sent text that is not UTF-8. |
| 1009 | | A frame was larger than \`maxFrameBytes\`. |`
}

function limits(): string {
  const rows = Object.entries(limitTable).map(
    ([name, { value, meaning }]) => `| \`${name}\` | ${value} | ${cell(meaning)} |`,
  )
  return `## Limits

| limit | default | meaning |
|---|---|---|
${rows.join('\n')}`
}
