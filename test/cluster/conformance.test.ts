import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { allCases, runCases } from '../conformance/suite.ts'
import type { Verdict } from '../conformance/suite.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { FaultyProxy } from './faulty-proxy.ts'
import { protocolFaults } from './protocol-faults.ts'

/** What a fault takes away does not come later either. */
const IMPATIENT = { patienceMs: 1500 }

const PROJECT = join(import.meta.dirname, '..', '..')

let cluster: Cluster
beforeAll(async () => {
  cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })
})
afterAll(async () => {
  await cluster.stop()
  await cluster.dropDatabase()
})

/** The command, as `npm run conformance` runs it once all is built. */
async function command(
  ...args: string[]
): Promise<{ code: number | null; said: string; complained: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/conformance/main.ts', ...args], {
    cwd: PROJECT,
  })
  let [said, complained] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (complained += chunk.toString()))
  await once(child, 'close')
  return { code: child.exitCode, said, complained }
}

describe('the conformance suite', () => {
  it('finds no rule broken by a cluster of two workers, and writes a report', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
    const { code, said } = await command(cluster.url, '--json', join(folder, 'report.json'))
    const { cases } = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as { cases: Verdict[] }
    rmSync(folder, { recursive: true })
    expect(cases.filter(({ broken }) => broken !== null)).toEqual([])
    expect(cases.map(({ name }) => name)).toEqual(allCases.map(({ name }) => name))
    expect(said).toContain(`${allCases.length} of ${allCases.length} rules hold`)
    expect(code).toBe(0)
    expect(cluster.log()).toBe('')
  })

  it('has a name of its own for each case', () => {
    expect(new Set(allCases.map(({ name }) => name)).size).toBe(allCases.length)
  })

  it.concurrent.each(protocolFaults)(
    'notices a server that $does ($breaks)',
    async ({ breaks, ...fault }) => {
      const cases = allCases.filter(({ name }) => name === breaks)
      const proxy = await FaultyProxy.start(cluster.url, fault)
      try {
        const [verdict] = await runCases(proxy.url, cases, undefined, IMPATIENT)
        expect(verdict).toMatchObject({ name: breaks, broken: expect.stringMatching(/./) as string })
        expect(verdict?.broken).not.toContain('could not be tried')
      } finally {
        await proxy.stop()
      }
    },
  )

  it('notices nothing through a proxy that breaks nothing', async () => {
    const broken = new Set(protocolFaults.map(({ breaks }) => breaks))
    const proxy = await FaultyProxy.start(cluster.url, {})
    try {
      const verdicts = await runCases(
        proxy.url,
        allCases.filter(({ name }) => broken.has(name)),
      )
      expect(verdicts.filter((verdict) => verdict.broken !== null)).toEqual([])
    } finally {
      await proxy.stop()
    }
  })

  it('ends with 1 if a rule is broken, and says which', async () => {
    const fault = protocolFaults.find(({ breaks }) => breaks === 'delete')
    const proxy = await FaultyProxy.start(cluster.url, fault ?? {})
    try {
      const { code, said } = await command(proxy.url, '--only', 'delete')
      expect(said).toContain('BROKEN delete')
      expect(said).toContain('broken: delete')
      expect(code).toBe(1)
    } finally {
      await proxy.stop()
    }
  })

  it('refuses what it cannot try, and says what to do', async () => {
    const wrong: readonly (readonly [args: string[], sentence: string])[] = [
      [['ws://127.0.0.1:1/ws'], 'no connection to ws://127.0.0.1:1/ws'],
      [['http://127.0.0.1:7400'], 'is no WebSocket address'],
      [[], 'give one address'],
      [['--fast'], "Unknown option '--fast'"],
      [['ws://127.0.0.1:1/ws', '--only', 'nothing'], 'no case has "nothing" in its name'],
    ]
    const answers = await Promise.all(wrong.map(([args]) => command(...args)))
    answers.forEach(({ code, complained }, index) => {
      expect(complained).toContain(wrong[index]?.[1])
      expect(complained.trim().split('\n')).toHaveLength(1)
      expect(code).toBe(2)
    })
  })
})
