/** Reading through a cursor: pieces of bounded size, whatever else is asked or goes wrong meanwhile. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { withSnapshot } from '../../persistence/audit/snapshot.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { AuditPlace } from './audit-support.ts'

const SMALL = 5_000
const ALL = 5_300
const SIZE = 200_000
/** Small rows, and then large ones: 60 MB that are fetched as if they were small too. */
const ROWS = `select n::text, case when n <= ${SMALL} then 'x' else repeat('x', ${SIZE}) end from generate_series(1, ${ALL}) n`

let place: AuditPlace
beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
})
afterAll(() => place.destroy())

const sizeOf = (piece: readonly (readonly (string | null)[])[]): number =>
  piece.reduce((sum, row) => sum + row.reduce((bytes, field) => bytes + (field?.length ?? 0), 0), 0)
const numbers = Array.from({ length: ALL }, (_, index) => index + 1)

it('large rows after small ones come in pieces that are not larger than others', async () => {
  const taken: number[] = []
  let largest = 0
  await withSnapshot(place.pool, async (snapshot) => {
    for await (const piece of snapshot.rows(ROWS)) {
      largest = Math.max(largest, sizeOf(piece))
      for (const [number] of piece) taken.push(Number(number))
    }
  })
  expect(taken).toEqual(numbers)
  // A piece, and what a read of the socket brings beyond it.
  expect(largest).toBeLessThan(2_000_000 + 2 * SIZE)
})

it('what is not taken is not read: PostgreSQL waits', async () => {
  await withSnapshot(place.pool, async (snapshot) => {
    const { pid } = (await snapshot.query<{ pid: number }>('select pg_backend_pid() as pid'))[0] ?? { pid: 0 }
    for await (const piece of snapshot.rows(ROWS)) {
      if (sizeOf(piece) < SIZE) continue
      const waitsFor = async (): Promise<unknown> => {
        const { rows } = await place.pool.query('select wait_event from pg_stat_activity where pid = $1', [
          pid,
        ])
        return rows
      }
      await expect.poll(waitsFor, { timeout: 10_000 }).toEqual([{ wait_event: 'ClientWrite' }])
      break
    }
    // Who leaves early goes on with the connection.
    expect(await snapshot.query('select 1 as one')).toEqual([{ one: 1 }])
  })
})

it('other questions, and other rows, are answered in the middle of it', async () => {
  const taken: number[] = []
  const others: number[] = []
  await withSnapshot(place.pool, async (snapshot) => {
    const other = snapshot.rows(ROWS)
    for await (const piece of snapshot.rows(ROWS)) {
      for (const [number] of piece) taken.push(Number(number))
      expect(await snapshot.query('select 1 as one')).toEqual([{ one: 1 }])
      for (const [number] of (await other.next()).value ?? []) others.push(Number(number))
    }
    for await (const piece of other) for (const [number] of piece) others.push(Number(number))
  })
  expect(taken).toEqual(numbers)
  expect(others).toEqual(numbers)
})

it('an error of PostgreSQL in the middle, and a connection that is lost, are thrown', async () => {
  const failing = `select (1 / (2000 - n))::text from generate_series(1, 3000) n`
  const read = (text: string, onPiece: (pid: number) => Promise<unknown>): Promise<void> =>
    withSnapshot(place.pool, async (snapshot) => {
      const [answer] = await snapshot.query<{ pid: number }>('select pg_backend_pid() as pid')
      for await (const piece of snapshot.rows(text)) if (sizeOf(piece) > SIZE) await onPiece(answer?.pid ?? 0)
    })
  await expect(read(failing, async () => undefined)).rejects.toThrow('division by zero')
  await expect(
    read(ROWS, (pid) => place.pool.query('select pg_terminate_backend($1)', [pid])),
  ).rejects.toThrow(/terminat/)
  expect((await place.pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
})
