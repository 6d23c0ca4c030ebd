/** A TCP connection to a server of WebSockets, on which anything can be written, and what came back. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { handshake } from './handshakes.ts'
import type { Handshake } from './handshakes.ts'
import type { RawInput } from './frames.ts'

/** A server that has not answered by then has forgotten the connection. */
export const PATIENCE_MS = 60_000
/** How long to look on where nothing in particular is owed. */
export const GLANCE_MS = 5

export class RawSocket {
  readonly #socket: Socket
  #received = Buffer.alloc(0)
  #isClosed = false
  #look: () => void = () => undefined

  constructor(url: URL) {
    this.#socket = connect(Number(url.port), url.hostname)
    this.#socket.on('error', () => undefined)
    this.#socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#look()
    })
    this.#socket.on('close', () => {
      this.#isClosed = true
      this.#look()
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get received(): Buffer {
    return this.#received
  }

  write(bytes: Buffer): void {
    if (!this.#isClosed) this.#socket.write(bytes)
  }

  /** Cuts without a farewell, so that no port waits for its time. */
  cut(): void {
    this.#socket.resetAndDestroy()
  }

  /** @returns what is read from all that came; `null`: it did not come until the close, or in time */
  read<T>(from: (received: Buffer) => T | null, ms = PATIENCE_MS): Promise<T | null> {
    return new Promise((resolve) => {
      const over = (found: T | null): void => {
        clearTimeout(timer)
        this.#look = () => undefined
        resolve(found)
      }
      const timer = setTimeout(() => over(null), ms)
      this.#look = () => {
        const found = from(this.#received)
        if (found !== null || this.#isClosed) over(found)
      }
      this.#look()
    })
  }
}

function statusIn(received: Buffer): number | null {
  const status = /^HTTP\/1\.1 (\d{3}) [^\r]*\r\n/.exec(received.toString('latin1', 0, 100))?.[1]
  return status === undefined || !received.includes('\r\n\r\n') ? null : Number(status)
}

interface ServerFrame {
  readonly opcode: number
  readonly payload: Buffer
}

/** The server's own frames, behind its answer to the handshake. */
function framesIn(received: Buffer): ServerFrame[] {
  const frames: ServerFrame[] = []
  let at = received.indexOf('\r\n\r\n') + 4
  while (received.length >= at + 2) {
    const short = (received[at + 1] ?? 0) & 0x7f
    const head = short < 126 ? 2 : short === 126 ? 4 : 10
    if (received.length < at + head) break
    const length =
      short < 126
        ? short
        : short === 126
          ? received.readUInt16BE(at + 2)
          : Number(received.readBigUInt64BE(at + 2))
    if (received.length < at + head + length) break
    frames.push({
      opcode: (received[at] ?? 0) & 0x0f,
      payload: received.subarray(at + head, at + head + length),
    })
    at += head + length
  }
  return frames
}

function closeCodeIn(received: Buffer): number | null {
  const close = framesIn(received).find(({ opcode }) => opcode === 8)
  if (close === undefined) return null
  return close.payload.length < 2 ? 1005 : close.payload.readUInt16BE(0)
}

function answerIn(received: Buffer): string | null {
  return (
    framesIn(received)
      .find(({ opcode }) => opcode === 1)
      ?.payload.toString() ?? null
  )
}

/** @returns what was wrong with the server's answer; `null`: nothing */
export async function tryHandshake(url: URL, { kind, bytes, owed }: Handshake): Promise<string | null> {
  const socket = new RawSocket(url)
  socket.write(bytes)
  const status = await socket.read(statusIn, owed === 'any' ? GLANCE_MS : PATIENCE_MS)
  socket.cut()
  if (owed === 'any' || (status !== null && owed.includes(status))) return null
  return `${kind}: answered with ${status ?? 'nothing'}, not ${owed.join(' or ')}: ${JSON.stringify(bytes.toString('latin1', 0, 200))}`
}

/** @returns what was wrong with the server's answer; `null`: nothing */
export async function tryFrames(url: URL, { kind, chunks, owed }: RawInput): Promise<string | null> {
  const socket = new RawSocket(url)
  try {
    socket.write(handshake())
    if ((await socket.read(statusIn)) !== 101) return `${kind}: a good handshake was refused`
    for (const [index, chunk] of chunks.entries()) {
      if (index > 0) await new Promise((resolve) => setImmediate(resolve))
      socket.write(chunk)
    }
    if (owed === 'any') {
      await socket.read(closeCodeIn, GLANCE_MS)
      return null
    }
    const bytes = JSON.stringify(chunks[0]?.toString('latin1', 0, 60))
    if (owed === 'answer') {
      const answer = await socket.read(answerIn)
      return answer?.includes('"result"') === true
        ? null
        : `${kind}: not answered, but ${answer ?? 'nothing'}: ${bytes}`
    }
    const code = await socket.read(closeCodeIn)
    return code !== null && owed.includes(code)
      ? null
      : `${kind}: closed with ${code ?? 'nothing'}, not ${owed.join(' or ')}: ${bytes}`
  } finally {
    socket.cut()
  }
}
