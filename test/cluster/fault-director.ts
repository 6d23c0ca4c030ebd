/**
 * What a process under test tells at each point of the audit's pipeline, and what it is told to do there. The process waits at the point
 * until it has an answer, so that what the test does meanwhile (a kill, a cut connection) happens exactly there.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FaultPoint } from '../../persistence/audit/fault-points.ts'

/** How a thread is to end: by itself, by something that nobody caught, or by taking more memory than it may have. */
export type Death = 'exit' | 'throw' | 'memory'

export type Order = 'go' | Death

export interface Reached {
  readonly pid: number
  /** 0: the main thread. */
  readonly thread: number
  readonly point: FaultPoint
}

export class FaultDirector {
  /** Called at each point. */
  onPoint: (reached: Reached) => Promise<Order> = () => Promise.resolve('go')
  /** Threads that said that they are about to end, as `<pid>/<thread>`. */
  readonly dying = new Set<string>()
  /** Of them, how many there were when a death was last ordered. */
  #deadBefore = 0
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
    server.on('request', (request, response) => {
      let text = ''
      request.on('data', (chunk: Buffer) => (text += chunk.toString()))
      request.on('end', () => {
        const reached = JSON.parse(text) as Reached | (Omit<Reached, 'point'> & { point: 'dying' | 'dead' })
        if (reached.point === 'dead') {
          response.end(this.dying.size > this.#deadBefore ? 'yes' : 'no')
        } else if (reached.point === 'dying') {
          this.dying.add(`${reached.pid}/${reached.thread}`)
          response.end()
        } else {
          void this.onPoint({ ...reached, point: reached.point }).then((order) => {
            if (order !== 'go') this.#deadBefore = this.dying.size
            response.end(order)
          })
        }
      })
      request.on('error', () => undefined)
      response.on('error', () => undefined)
    })
  }

  static async open(): Promise<FaultDirector> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new FaultDirector(server)
  }

  /** A module for processes and threads: see `loadFaultHook`. On the main thread, a death is that of the threads. */
  get module(): string {
    const { port } = this.#server.address() as AddressInfo
    return `data:text/javascript,${encodeURIComponent(`const director = 'http://127.0.0.1:${port}'\n${MODULE}`)}`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

const MODULE = `
import { isMainThread, threadId as thread, BroadcastChannel } from 'node:worker_threads'
const tell = (point) =>
  fetch(director, { method: 'POST', body: JSON.stringify({ pid: process.pid, thread, point }) }).then(
    (response) => response.text(),
    () => 'go',
  )
const threads = new BroadcastChannel('deaths')
async function die(how) {
  await tell('dying')
  if (how === 'exit') process.exit(7)
  if (how === 'throw') setImmediate(() => { throw new Error('a fault that nobody caught') })
  if (how === 'memory') for (const hoard = []; ;) hoard.push(new Array(500_000).fill(hoard.length + 0.5))
  await new Promise(() => undefined)
}
if (!isMainThread) {
  threads.onmessage = ({ data }) => void die(data)
  threads.unref()
}
export async function faultPoint(point) {
  const order = await tell(point)
  if (order === 'go') return
  if (!isMainThread) return die(order)
  do {
    threads.postMessage(order)
    await new Promise((resolve) => setTimeout(resolve, 50))
  } while ((await tell('dead')) === 'no')
}
`
