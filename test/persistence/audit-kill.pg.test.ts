import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FaultPoint } from '../../persistence/audit/fault-points.ts'
import { findGaps } from '../../persistence/audit/verify.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { AuditPlace, killAt, shortTimes, threadArguments, transitions, until } from './audit-support.ts'

describe('an audit process that is killed', () => {
  let place: AuditPlace
  const children: ChildProcess[] = []

  beforeEach(async () => {
    place = await AuditPlace.create(redisUrl(), databaseUrl())
  })
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL')
    await place.destroy()
  })

  function startProcess(faultModule?: string): ChildProcess {
    const { redisUrl, databaseUrl, prefix } = place
    const options = {
      redisUrl,
      databaseUrl,
      prefix,
      threads: 2,
      batch: 50,
      times: shortTimes,
      threadArguments,
      faultModule,
    }
    const child = spawn(
      process.execPath,
      [
        ...threadArguments,
        fileURLToPath(new URL('./audit-process.ts', import.meta.url)),
        JSON.stringify(options),
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    )
    children.push(child)
    return child
  }

  it('AU1 LC1 AU3 between any two steps leaves every row once, and the next one finishes the work', async () => {
    const points: FaultPoint[] = [
      'before-insert',
      'after-insert',
      'before-delete',
      'after-delete',
      'after-reject',
      'after-insert',
    ]
    let count = 0
    for (const [round, point] of points.entries()) {
      for (let n = 0; n < 20; n++) {
        await place.append(transitions(`r${round}-${n}`, 30))
        count += 30
      }
      await place.append([{ i: `r${round}-poison`, c: 'x' }])
      const child = startProcess(killAt(point, point === 'after-reject' ? 1 : 3))
      await once(child, 'exit')
      expect(child.signalCode).toBe('SIGKILL')
    }
    startProcess()
    await until(async () => (await place.waiting()) === 0, 'the last process has drained all', 40_000)
    expect(await place.count('troupe_transitions')).toBe(count)
    expect(await place.count('troupe_sessions')).toBe(20 * points.length)
    expect(await place.count('troupe_rejects')).toBe(points.length)
    expect(await findGaps(place.pool)).toEqual([])
  }, 120_000)
})
