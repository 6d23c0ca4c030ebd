/** A PostgreSQL whose disk is full: its tables lie on a small file system of their own, which needs root. */
import { execFileSync } from 'node:child_process'
import { chownSync, mkdtempSync, rmSync, statSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import { expect, it } from 'vitest'
import { AUDIT_QUEUE, auditQueuePrefix } from '../../persistence/audit/queue.ts'
import { findGaps } from '../../persistence/audit/verify.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { AuditPlace, transitions, until } from './audit-support.ts'

const SIZE_MB = 48

/** @returns why it cannot be had; `null`: it is there */
function mount(folder: string): string | null {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MB}m`, 'tmpfs', folder], { stdio: 'pipe' })
    return null
  } catch (error) {
    return String(error)
  }
}

it('AU1 AU3 a full disk: nothing is lost, no attempt is used, and all is written once there is room', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-disk-'))
  const problem = mount(folder)
  if (problem !== null) {
    rmSync(folder, { recursive: true })
    console.warn(`NOT TESTED: a full disk needs a small file system, which could not be mounted: ${problem}`)
    context.skip()
  }
  const admin = new pg.Pool({ connectionString: databaseUrl(), max: 1 })
  const space = folder.replace(/\W/g, '_')
  const place = await AuditPlace.create(redisUrl(), databaseUrl())
  try {
    const { rows } = await admin.query<{ data_directory: string }>('show data_directory')
    const { uid, gid } = statSync(rows[0]?.data_directory ?? '')
    chownSync(folder, uid, gid)
    await admin.query(`create tablespace ${space} location '${folder}'`)
    const name = new URL(place.databaseUrl).pathname.slice(1)
    await admin.query(`alter database ${name} set default_tablespace = ${space}`)
    const service = await place.start()
    await place.append(transitions('before', 20))
    await until(async () => (await place.waiting()) === 0, 'it writes')

    const { bavail, bsize } = statfsSync(folder)
    writeFileSync(join(folder, 'filler'), Buffer.alloc(bavail * bsize - 64 * 1024))
    // Compresses badly, so that it needs room.
    const context = (): object => ({
      noise: Array.from({ length: 400 }, () => Math.random().toString(36)).join(),
    })
    for (let n = 0; n < 60; n++) await place.append(transitions(`during${n}`, 10, context()))
    await until(() => service.health().reason?.includes('53100') ?? false, 'health says so')
    expect(service.health()).toMatchObject({ status: 'degraded' })
    const connection = new Redis(redisUrl())
    const queue = new Queue(AUDIT_QUEUE, { connection, prefix: auditQueuePrefix(place.prefix) })
    const jobs = await queue.getJobs(['active', 'wait', 'delayed', 'failed', 'prioritized'])
    expect(jobs.length).toBeGreaterThan(0)
    for (const job of jobs) expect(job.attemptsMade).toBe(0)
    expect(await queue.getJobCountByTypes('failed', 'delayed')).toBe(0)
    await queue.close()
    connection.disconnect()
    expect(await place.waiting()).toBeGreaterThan(0)

    rmSync(join(folder, 'filler'))
    await until(async () => (await place.waiting()) === 0, 'all is written', 60_000)
    expect(await place.count('troupe_transitions')).toBe(620)
    expect(await place.count('troupe_rejects')).toBe(0)
    expect(await findGaps(place.pool)).toEqual([])
    await until(() => service.health().status === 'ok', 'health is well again')
  } finally {
    await place.destroy()
    await admin.query(`drop tablespace if exists ${space}`)
    await admin.end()
    execFileSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true, force: true })
  }
}, 120_000)
