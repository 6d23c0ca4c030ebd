import { describe, expect, it } from 'vitest'
import { Dice } from '../fuzz/dice.ts'
import { rawInput } from '../fuzz/frames.ts'
import { fuzz } from '../fuzz/fuzz.ts'
import { isHarmless, jsonInputs } from '../fuzz/json-inputs.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { ResendingClient } from './resending-client.ts'

const SEED = 1
/** `npm run fuzz` sends 100,000. */
const COUNT = 2000

describe('hostile input at a cluster', () => {
  it('TR1 TR3 ends no process, changes no session of others, makes none, and leaves memory as it was', async () => {
    const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })
    try {
      const report = await fuzz({
        cluster,
        redisUrl: redisUrl(),
        seed: SEED,
        count: COUNT,
        say: () => undefined,
      })
      console.log(JSON.stringify({ ...report, seed: SEED }))
      expect(report.findings).toEqual([])
      expect(report.inputs).toBe(COUNT)
      expect(report.acknowledged).toBeGreaterThan(50)
      expect(report.sessions).toBeGreaterThan(8)
    } finally {
      await cluster.stop()
      await cluster.dropDatabase()
    }
  })
})

describe('the fuzz', () => {
  it('finds a change to a canary, a session that was not to be made, and a worker that died', async () => {
    const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })
    const other = new ResendingClient(cluster.url)
    try {
      const report = fuzz({ cluster, redisUrl: redisUrl(), seed: SEED, count: 500, say: () => undefined })
      let isThere = false
      while (!isThere) isThere = (await other.request('getSession', { id: 'canary-7' })).result !== null
      await other.request('updateSession', { id: 'canary-0', event: { type: 'MERGE', state: { count: -1 } } })
      await other.request('createSession', { machine: 'document', id: 'other' })
      cluster.killOne('worker.js')
      const findings = (await report).findings.join('\n')
      expect(findings).toContain('canary-0')
      expect(findings).toContain('a session other was made')
      expect(findings).toContain('the workers were')
    } finally {
      other.close()
      await cluster.stop()
      await cluster.dropDatabase()
    }
  })

  it('sends the same for the same seed', () => {
    const some = (seed: number) => [jsonInputs(['canary-0'], seed, 50), rawInput(new Dice(seed))]
    expect(some(3)).toEqual(some(3))
    expect(some(3)).not.toEqual(some(4))
  })

  it.each([
    ['a change', 'updateSession', { id: 'canary-1', event: { type: 'SET', state: 1 } }, false],
    ['a refused change', 'updateSession', { id: 'canary-1', event: { type: 'NONE' } }, true],
    ['a deletion', 'deleteSession', { id: 'canary-1' }, false],
    ['a refused deletion', 'deleteSession', { id: 'canary-1', force: true }, true],
    ['a session without an id', 'createSession', { machine: 'document' }, false],
    ['a session of another id', 'createSession', { machine: 'document', id: 'other' }, false],
    ['a second creation', 'createSession', { machine: 'document', id: 'canary-1' }, true],
    ['a session of its own', 'createSession', { machine: 'document', id: 'fuzz-1' }, true],
  ])('knows %s for what it is', (_, method, params, harmless) => {
    const request = { jsonrpc: '2.0', id: 1, method, params }
    expect(isHarmless(JSON.stringify(request))).toBe(harmless)
    expect(isHarmless(JSON.stringify([1, request]))).toBe(harmless)
  })
})
