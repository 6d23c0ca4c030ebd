/** Starts a server under test as a process of its own and ends it. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { stopAtEnd } from './ending.ts'

const START_MS = 60_000
const STOP_MS = 20_000

export interface ServerProcess {
  readonly pid: number
  /** `ws://host:port/ws` */
  readonly url: string
  /** What GET /healthz answers. */
  health(): Promise<unknown>
  stop(): Promise<void>
}

/**
 * @param args of node: a script of the project and its flags
 * @param env beside that of this process
 * @throws Error with the last lines of output if it does not print a `ws://…` address and answer /healthz in a minute
 */
export async function startServer(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stopped = stopAtEnd(() => stop(child))
  child.once('exit', stopped)
  const output: string[] = []
  const address = await new Promise<string>((resolve, reject) => {
    const fail = (why: string): void => {
      child.kill('SIGKILL')
      reject(new Error(`node ${withoutPasswords(args.join(' '))} ${why}:\n${output.join('').slice(-2000)}`))
    }
    const timer = setTimeout(() => fail(`printed no ws:// address within ${START_MS / 1000} s`), START_MS)
    const hear = (chunk: Buffer): void => {
      // After the start its output only has to be taken, lest the pipe fills.
      if (output.length < 1000) output.push(chunk.toString())
      const found = /ws:\/\/[^\s"']+/.exec(output.join(''))
      if (found === null) return
      clearTimeout(timer)
      resolve(found[0])
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('exit', (code) => {
      clearTimeout(timer)
      fail(`ended with code ${code}`)
    })
  })
  const url = new URL(address)
  if (url.pathname === '/') url.pathname = '/ws'
  const healthUrl = `http://${url.host}/healthz`
  const health = async (): Promise<unknown> => (await fetch(healthUrl)).json()
  try {
    await untilHealthy(healthUrl)
  } catch (error) {
    await stop(child)
    throw error
  }
  return { pid: child.pid ?? 0, url: url.href, health, stop: () => stop(child) }
}

async function untilHealthy(url: string): Promise<void> {
  const until = Date.now() + START_MS
  for (;;) {
    const response = await fetch(url).catch(() => null)
    if (response?.ok === true) return
    if (Date.now() > until) throw new Error(`${url} does not answer 200 within ${START_MS / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await once(child, 'exit')
  clearTimeout(timer)
}

function withoutPasswords(text: string): string {
  return text.replace(/(:\/\/[^:@/\s]*):[^@\s]*@/g, '$1:***@')
}
