/** One hostile HTTP request, or many, over a connection of its own; and whether what comes back is sound. */
import type { HttpInput } from './http-bytes.ts'
import { GLANCE_MS, PATIENCE_MS, RawSocket } from './raw-socket.ts'

interface Answer {
  readonly status: number
  readonly body: string
}

/** @returns what was wrong with the server's answers; `null`: nothing */
export async function tryHttp(
  url: URL,
  { kind, chunks, owed, isLast = false }: HttpInput,
): Promise<string | null> {
  const socket = new RawSocket(url)
  try {
    for (const [index, chunk] of chunks.entries()) {
      if (index > 0) await new Promise((resolve) => setTimeout(resolve, 1))
      socket.write(chunk)
    }
    const first = (received: Buffer): true | null => (answersIn(received).answers.length > 0 ? true : null)
    await socket.read(first, owed === 'any' ? GLANCE_MS : PATIENCE_MS)
    if (isLast) await socket.read(() => null, owed === 'any' ? GLANCE_MS : PATIENCE_MS)
    const { answers, complaint } = answersIn(socket.received)
    const wrong =
      complaint ??
      (owed === 'any' ? null : complaintAbout(answers, owed)) ??
      (isLast && (answers.length > 1 || (owed !== 'any' && !socket.isClosed))
        ? `went on after its answer, with ${answers.length} answers`
        : null)
    return wrong === null ? null : `${kind}: ${wrong}: ${bytesOf(chunks)}`
  } finally {
    socket.cut()
  }
}

function complaintAbout([first]: readonly Answer[], owed: readonly number[] | 'sound'): string | null {
  if (first === undefined) return 'was not answered'
  if (owed === 'sound' || owed.includes(first.status)) return null
  return `answered with ${first.status}, not ${owed.join(' or ')} (${first.body.slice(0, 100)})`
}

function bytesOf(chunks: readonly Buffer[]): string {
  return JSON.stringify(Buffer.concat(chunks).toString('latin1').slice(0, 300))
}

/** The answers that came whole, and what is wrong with them. The body of a stream is not looked at. */
function answersIn(received: Buffer): { answers: Answer[]; complaint: string | null } {
  const answers: Answer[] = []
  let rest = received.toString('latin1')
  while (rest !== '') {
    const [head, status, lines = ''] =
      /^HTTP\/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(rest) ?? []
    if (head === undefined) {
      const isPart = !rest.includes('\r\n\r\n') && 'HTTP/1.1'.startsWith(rest.slice(0, 8))
      return {
        answers,
        complaint: isPart ? null : `what came is no HTTP: ${JSON.stringify(rest.slice(0, 200))}`,
      }
    }
    const length = /^content-length: (\d+)\r$/im.exec(lines)?.[1]
    const isJson = /^content-type: application\/(?:problem\+)?json\r$/im.test(lines)
    const body = rest.slice(head.length, head.length + Number(length ?? 0))
    // The answer to HEAD tells the length of what it does not send.
    const isWhole = length !== undefined && body.length === Number(length)
    const text = Buffer.from(body, 'latin1').toString()
    answers.push({ status: Number(status), body: text })
    const complaint = soundness(Number(status), isJson && isWhole && body !== '' ? text : null)
    if (complaint !== null) return { answers, complaint }
    rest = isWhole || Number(status) === 100 ? rest.slice(head.length + body.length) : ''
  }
  return { answers, complaint: null }
}

function soundness(status: number, json: string | null): string | null {
  if (status === 500) return `a fault of the server: ${json?.slice(0, 300) ?? ''}`
  if (json === null) return null
  try {
    const value = JSON.parse(json) as { code?: unknown; status?: unknown }
    return status >= 400 && (typeof value.code !== 'string' || value.status !== status)
      ? `${status} without a problem: ${json.slice(0, 300)}`
      : null
  } catch {
    return `not JSON: ${json.slice(0, 300)}`
  }
}
