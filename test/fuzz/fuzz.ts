/**
 * Hostile input of all kinds at a cluster, while a well-behaved client writes to sessions of its own; and at the end the
 * proof that nothing happened: same processes, exact sessions, nothing made that was not to be, memory as before.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { scanSessions } from '../../persistence/session-scan.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { Canaries, canaryIds } from './canaries.ts'
import { Dice } from './dice.ts'
import { rawInput } from './frames.ts'
import { badHandshake } from './handshakes.ts'
import { tryHttp } from './http-attack.ts'
import { httpBytes } from './http-bytes.ts'
import { httpInputs } from './http-inputs.ts'
import { sendAll } from './json-attack.ts'
import { OWN, jsonInputs } from './json-inputs.ts'
import { tryFrames, tryHandshake } from './raw-socket.ts'

/** Of 100 inputs. */
const TEXTS = 54
const FRAMES = 16
const HANDSHAKES = 6
const HTTP_BYTES = 10
const HTTP_REQUESTS = 100 - TEXTS - FRAMES - HANDSHAKES - HTTP_BYTES

const ROUND = 500
/** Connections that are attacked over at once, of each kind. */
const AT_ONCE = 8
/** Then each cache has seen what it keeps, and V8 has sized its heap. */
const WARM_UP = 0.25

/**
 * How much larger a worker may be at the end than after the warm-up. V8 lets the young generation and fragments of the old
 * one come and go by some 30 MB in a process of this size, however long it runs; a leak of 1 kB for each of the 75,000
 * inputs behind the warm-up of the long run would be 75 MB.
 */
export const MEMORY_BOUND_MB = 48

export interface FuzzConfig {
  readonly cluster: Cluster
  readonly redisUrl: string
  readonly seed: number
  readonly count: number
  readonly say: (line: string) => void
}

export interface FuzzReport {
  readonly inputs: number
  readonly connections: number
  readonly seconds: number
  readonly acknowledged: number
  readonly sessions: number
  /** Of each worker: after the warm-up, and at the end. */
  readonly memoryMb: readonly (readonly [warm: number, end: number])[]
  /** What must not be; empty: the server held. */
  readonly findings: readonly string[]
}

export async function fuzz({ cluster, redisUrl, seed, count, say }: FuzzConfig): Promise<FuzzReport> {
  const began = Date.now()
  const workers = cluster.pids('worker.js')
  const canaries = new Canaries(cluster.url)
  await canaries.start()
  const findings = new Set<string>()
  const rounds = Math.ceil(count / ROUND)
  const warmRound = Math.max(1, Math.round(rounds * WARM_UP))
  let warm: readonly number[] = []
  let connections = 0
  for (let round = 0; round < rounds; round++) {
    if (round === warmRound) warm = workers.map(residentMb)
    const outcome = await attack(cluster.url, seed + round)
    connections += outcome.connections
    for (const finding of outcome.findings) {
      findings.add(`round ${round}: ${finding}`)
      say(`round ${round}: ${finding}`)
    }
    if ((round + 1) % 20 === 0)
      say(
        `${(round + 1) * ROUND} inputs, ${findings.size} findings, workers ${workers.map(residentMb).join(' and ')} MB`,
      )
  }
  for (const finding of await canaries.finish()) findings.add(finding)
  // Requests that were cut off are still being answered, and their memory is let go.
  await sleep(1000)
  const memoryMb = workers.map((pid, n): [number, number] => [warm[n] ?? 0, residentMb(pid)])
  for (const [before, end] of memoryMb)
    if (end - before > MEMORY_BOUND_MB) findings.add(`a worker grew from ${before} to ${end} MB`)
  const now = cluster.pids('worker.js')
  if (now.join() !== workers.join()) findings.add(`the workers were ${workers.join()} and are ${now.join()}`)
  const { ok } = await cluster.health()
  if (!ok) findings.add('the health is not ok')
  const complaints = cluster
    .log()
    .split('\n')
    .filter((line) => line !== '' && !/"level":(10|20|30|40|"info"|"warn")/.test(line))
  for (const line of complaints.slice(0, 5)) findings.add(`the log says ${line.slice(0, 300)}`)
  let sessions = 0
  for await (const { id } of scanSessions(redisUrl, cluster.prefix)) {
    sessions++
    if (!id.startsWith(OWN) && !canaryIds.includes(id)) findings.add(`a session ${id} was made`)
  }
  return {
    inputs: rounds * ROUND,
    connections,
    seconds: Math.round((Date.now() - began) / 1000),
    acknowledged: canaries.acknowledged,
    sessions,
    memoryMb,
    findings: [...findings],
  }
}

async function attack(url: string, seed: number): Promise<{ connections: number; findings: string[] }> {
  const dice = new Dice(seed)
  const texts = jsonInputs(canaryIds, seed, (ROUND * TEXTS) / 100)
  const address = new URL(url)
  const size = Math.ceil(texts.length / AT_ONCE)
  const tasks: (() => Promise<string | null>)[] = [
    ...Array.from({ length: (ROUND * FRAMES) / 100 }, () => rawInput(dice)).map(
      (input) => () => tryFrames(address, input),
    ),
    ...Array.from({ length: (ROUND * HANDSHAKES) / 100 }, () => badHandshake(dice)).map(
      (input) => () => tryHandshake(address, input),
    ),
    ...[
      ...Array.from({ length: (ROUND * HTTP_BYTES) / 100 }, () => httpBytes(dice)),
      ...httpInputs(canaryIds, seed, (ROUND * HTTP_REQUESTS) / 100),
    ].map((input) => () => tryHttp(address, input)),
  ]
  const connections = tasks.length + AT_ONCE
  const overText = Array.from({ length: AT_ONCE }, (_, n) =>
    sendAll(url, texts.slice(n * size, (n + 1) * size)),
  )
  const findings: string[] = []
  const lanes = Array.from({ length: AT_ONCE }, async () => {
    for (let task = tasks.pop(); task !== undefined; task = tasks.pop()) {
      const finding = await task()
      if (finding !== null) findings.push(finding)
    }
  })
  await Promise.all(lanes)
  findings.push(...(await Promise.all(overText)).flat())
  return { connections, findings }
}

function residentMb(pid: number): number {
  try {
    const kb = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return Math.round(Number(kb ?? 0) / 1024)
  } catch {
    // It is gone, which is a finding of its own.
    return 0
  }
}
