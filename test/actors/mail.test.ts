import { expect, it } from 'vitest'
import { isTaken, withTaken } from '../../actors/mail.ts'
import type { IncomingMail } from '../../actors/mail.ts'

const mail = (from: string, number: string): IncomingMail => ({ from, number, hops: 1, event: { type: 'A' } })

it('TM6 what a receiver has had it forgets some time after it heard that the entry is gone, whoever told it', () => {
  let taken = withTaken({}, mail('a', '1:2:0:7-0'), {}, 0)
  taken = withTaken(taken, mail('b', '1:1:0:8-0'), { a: '1:1:0:5-0' }, 1000)
  expect(taken).toEqual({ a: '1:2:0:7-0', b: '1:1:0:8-0' })
  taken = withTaken(taken, mail('c', '1:1:0:9-0'), { a: '1:2:0:7-0' }, 2000)
  expect(taken).toEqual({ a: '1:2:0:7-0:2000', b: '1:1:0:8-0', c: '1:1:0:9-0' })
  expect(isTaken(taken, mail('a', '1:2:0:7-0'))).toBe(true)
  expect(isTaken(taken, mail('a', '1:2:1:7-1'))).toBe(false)
  taken = withTaken(taken, mail('c', '1:2:0:10-0'), {}, 11_999)
  expect(taken).toHaveProperty('a')
  taken = withTaken(taken, mail('c', '1:3:0:11-0'), {}, 12_000)
  expect(taken).toEqual({ b: '1:1:0:8-0', c: '1:3:0:11-0' })
})
