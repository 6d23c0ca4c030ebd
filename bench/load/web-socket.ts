/**
 * A WebSocket client for driving load: as little work per message as RFC 6455 allows, because client and servers
 * share the machine. It knows unfragmented frames only, which is what servers of small replies send.
 */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { Socket } from 'node:net'

/** One mask for all frames: the server must unmask as always, and requests can be masked ahead of time. */
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d])

export interface FrameHandler {
  /** The bytes `from` to `to` of `bytes` are a text message; valid only during the call. */
  onText(socket: LoadSocket, bytes: Buffer, from: number, to: number): void
  onLost(socket: LoadSocket, reason: string): void
}

export class LoadSocket {
  readonly index: number
  readonly #socket: Socket
  readonly #handler: FrameHandler
  #rest: Buffer | null = null
  #upgraded: (() => void) | null = null
  #reading = false
  #queued: Buffer[] = []
  #closing = false

  /** Resolves once the connection is upgraded. `shared` is a read buffer that all sockets of a process use. */
  static async open(url: URL, index: number, handler: FrameHandler, shared: Buffer): Promise<LoadSocket> {
    const socket = new LoadSocket(url, index, handler, shared)
    await new Promise<void>((resolve) => (socket.#upgraded = resolve))
    return socket
  }

  private constructor(url: URL, index: number, handler: FrameHandler, shared: Buffer) {
    this.index = index
    this.#handler = handler
    this.#socket = connect({
      host: url.hostname,
      port: Number(url.port),
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (length, buffer) => {
          this.#read(buffer as Buffer, length)
          return true
        },
      },
    })
    this.#socket.on('error', (error) => this.#lose(error.message))
    this.#socket.on('close', () => this.#lose('the server closed the connection'))
    this.#socket.write(
      `GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    )
  }

  /** Sends a whole frame, see {@link encodeFrame}. What is sent while a chunk is read goes out in one write. */
  send(frame: Buffer): void {
    if (this.#reading) this.#queued.push(frame)
    else this.#socket.write(frame)
  }

  close(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  #read(shared: Buffer, length: number): void {
    let bytes = shared.subarray(0, length)
    if (this.#rest !== null) {
      bytes = Buffer.concat([this.#rest, bytes])
      this.#rest = null
    }
    this.#reading = true
    const used = this.#upgraded === null ? this.#frames(bytes, 0) : this.#upgrade(bytes)
    this.#reading = false
    if (used < bytes.length) this.#rest = Buffer.from(bytes.subarray(used))
    if (this.#queued.length === 0) return
    const [first] = this.#queued
    this.#socket.write(this.#queued.length === 1 && first !== undefined ? first : Buffer.concat(this.#queued))
    this.#queued = []
  }

  #upgrade(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n\r\n')
    if (end < 0) return 0
    const status = bytes.toString('latin1', 0, bytes.indexOf('\r\n'))
    if (!status.startsWith('HTTP/1.1 101')) {
      this.#lose(`the server refused the upgrade: ${status}`)
      return bytes.length
    }
    this.#upgraded?.()
    this.#upgraded = null
    return this.#frames(bytes, end + 4)
  }

  /** @returns how many bytes were whole frames. */
  #frames(bytes: Buffer, at: number): number {
    while (bytes.length - at >= 2) {
      let length = (bytes[at + 1] ?? 0) & 0x7f
      let from = at + 2
      if (length === 126) {
        if (bytes.length < at + 4) break
        length = bytes.readUInt16BE(at + 2)
        from = at + 4
      } else if (length === 127) {
        if (bytes.length < at + 10) break
        length = Number(bytes.readBigUInt64BE(at + 2))
        from = at + 10
      }
      const to = from + length
      if (bytes.length < to) break
      const opcode = (bytes[at] ?? 0) & 0x0f
      if (opcode === 1) this.#handler.onText(this, bytes, from, to)
      else if (opcode === 9) this.#socket.write(encodeFrame(bytes.subarray(from, to), 10))
      else if (opcode === 8)
        this.#lose(`the server sent a close frame (${length >= 2 ? bytes.readUInt16BE(from) : 1005})`)
      at = to
    }
    return at
  }

  #lose(reason: string): void {
    if (this.#closing) return
    this.close()
    this.#handler.onLost(this, reason)
  }
}

/** @returns a final frame with this payload, masked with {@link MASK}. */
export function encodeFrame(payload: Buffer, opcode = 1): Buffer {
  const extended = payload.length >= 126
  if (payload.length > 0xffff)
    throw new RangeError(`a request of ${payload.length} bytes is too long for the driver`)
  const frame = Buffer.allocUnsafe(payload.length + (extended ? 8 : 6))
  frame[0] = 0x80 | opcode
  frame[1] = 0x80 | (extended ? 126 : payload.length)
  if (extended) frame.writeUInt16BE(payload.length, 2)
  const from = frame.length - payload.length
  MASK.copy(frame, from - 4)
  for (let i = 0; i < payload.length; i++) frame[from + i] = (payload[i] ?? 0) ^ maskAt(i)
  return frame
}

/** The mask's byte at an offset of the payload. */
export function maskAt(offset: number): number {
  return MASK[offset & 3] ?? 0
}
