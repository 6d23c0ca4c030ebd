/** Clients of the HTTP API for tests, on sockets of their own. */
import { Agent, request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { once } from 'node:events'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly json: Readonly<Record<string, unknown>>
}

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON; a string or Buffer as it is. */
  readonly body?: unknown
}

/** `line`: method and path. */
export async function send(port: number, line: string, { headers = {}, body }: Sent = {}): Promise<Answer> {
  const asked = begin(port, line, { 'content-type': 'application/json', ...headers })
  asked.end(
    body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  )
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  const isJson = (response.headers['content-type'] ?? '').includes('json') && text !== ''
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text,
    json: isJson ? (JSON.parse(text) as Answer['json']) : {},
  }
}

function begin(port: number, line: string, headers: Readonly<Record<string, string>>): ClientRequest {
  const [method, path] = line.split(' ')
  return request({ port, host: '127.0.0.1', method, path, headers, agent: new Agent() })
}

export interface ReceivedEvent {
  readonly event: string
  readonly id?: string
  readonly data: Readonly<Record<string, unknown>>
}

/** Reads server-sent events as the specification says, by hand. */
export class EventClient {
  readonly response: IncomingMessage
  text = ''
  readonly ended: Promise<void>

  private constructor(response: IncomingMessage) {
    this.response = response
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => (this.text += chunk))
    response.on('error', () => undefined)
    this.ended = new Promise((resolve) => void response.on('close', resolve))
  }

  static async open(port: number, path: string, headers: Record<string, string> = {}): Promise<EventClient> {
    const asked = begin(port, `GET ${path}`, { accept: 'text/event-stream', ...headers })
    asked.end()
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    asked.on('error', () => undefined)
    return new EventClient(response)
  }

  get events(): ReceivedEvent[] {
    return this.text.split('\n\n').slice(0, -1).flatMap(parseEvent)
  }

  named(name: string): ReceivedEvent['data'][] {
    return this.events.filter(({ event }) => event === name).map(({ data }) => data)
  }

  close(): void {
    this.response.destroy()
  }
}

function parseEvent(block: string): ReceivedEvent[] {
  const fields = new Map(
    block.split('\n').map((line) => {
      const colon = line.indexOf(': ')
      return [line.slice(0, colon), line.slice(colon + 2)]
    }),
  )
  const [event, id, data] = [fields.get('event'), fields.get('id'), fields.get('data')]
  if (event === undefined || data === undefined) return []
  return [{ event, ...(id === undefined ? {} : { id }), data: JSON.parse(data) as ReceivedEvent['data'] }]
}
