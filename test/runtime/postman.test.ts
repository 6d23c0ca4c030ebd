/** The order in which events between sessions are delivered, on a stream that is an array. */
import { expect, it } from 'vitest'
import type { MailEntry } from '../../actors/mail.ts'
import { TroupeError } from '../../actors/errors.ts'
import { Postman } from '../../runtime/host/postman.ts'
import type { PostmanOptions } from '../../runtime/host/postman.ts'
import { sid, until } from '../support/hosts.ts'
import { KeptLog } from '../transport/support/parts.ts'

function entry(n: number, to: string): MailEntry {
  return {
    entryId: `${n}-0`,
    from: sid('from'),
    to: sid(to),
    epoch: '1',
    version: n,
    index: 0,
    hops: 1,
    commitId: `c-${n}`,
    event: JSON.stringify({ type: 'N', n }),
  }
}

/** A stream, and who refuses what is delivered. */
class Post {
  entries: MailEntry[]
  readonly taken: string[] = []
  /** What receivers were told to be gone, by their ids. */
  readonly told: Record<string, object> = {}
  /** What receivers remember, by their ids. */
  readonly remembered: Record<string, Record<string, string>> = {}
  missing = new Set<string>()
  refusing = new Set<string>()
  nowMs = 0
  readonly postman: Postman

  constructor(entries: MailEntry[]) {
    this.entries = entries
    const options: PostmanOptions = {
      store: {
        mail: async (_, after, limit) =>
          this.entries.filter(({ version }) => after === '' || version > parseInt(after, 10)).slice(0, limit),
        hasMail: async (_, ids) => ids.map((id) => this.entries.some(({ entryId }) => entryId === id)),
        deleteMail: async (_, gone) => {
          this.entries = this.entries.filter((each) => !gone.includes(each))
        },
      },
      clock: { now: () => this.nowMs, setTimeout: () => ({ cancel: () => undefined }) },
      log: new KeptLog(),
      onUnknown: () => undefined,
      take: async (id, { mail, gone }) => {
        this.told[id] = gone
        const had = this.remembered[id] ?? {}
        if (this.missing.has(id))
          return { delivery: { reason: 'not_found', message: 'it is not there' }, had }
        const name = `${id} ${(mail.event as unknown as { n: number }).n}`
        if (this.refusing.has(name)) throw new TroupeError('contention', 'not now')
        this.taken.push(name)
        return { delivery: 'taken', had }
      },
    }
    this.postman = new Postman(options)
  }

  async round(begin: (postman: Postman) => void): Promise<void> {
    begin(this.postman)
    await until(() => this.postman.isIdle)
  }
}

it('TM6 what comes behind an event that could not be delivered waits for it, and holds up no other receiver', async () => {
  const post = new Post([entry(1, 'a'), entry(2, 'b'), entry(3, 'a'), entry(4, 'b')])
  post.refusing.add('a 1')
  await post.round((postman) => postman.notify(0))
  expect(post.taken).toEqual(['b 2', 'b 4'])
  post.refusing.clear()
  await post.round((postman) => postman.notify(0))
  expect(post.taken).toEqual(['b 2', 'b 4', 'a 1', 'a 3'])
  expect(post.entries).toEqual([])
})

it('TM6 reads on behind what cannot be delivered, page by page', async () => {
  const post = new Post(Array.from({ length: 700 }, (_, n) => entry(n + 1, n < 600 ? 'a' : 'b')))
  post.refusing.add('a 1')
  await post.round((postman) => postman.notify(0))
  expect(post.taken).toHaveLength(100)
  expect(post.entries).toHaveLength(600)
})

it('the sweep leaves a partition alone for a while whose mail cannot be delivered; a new event does not wait', async () => {
  const post = new Post([entry(1, 'a')])
  post.refusing.add('a 1')
  await post.round((postman) => postman.notify(0))
  post.refusing.clear()
  await post.round((postman) => postman.sweep(0))
  expect(post.taken).toEqual([])
  post.nowMs = 10_000
  await post.round((postman) => postman.sweep(0))
  expect(post.taken).toEqual(['a 1'])
  post.entries.push(entry(2, 'a'))
  await post.round((postman) => postman.notify(0))
  expect(post.taken).toEqual(['a 1', 'a 2'])
})

it('a postman that was stopped begins nothing', async () => {
  const post = new Post([entry(1, 'a')])
  post.postman.stop()
  await post.round((postman) => postman.notify(0))
  expect(post.taken).toEqual([])
})

it('a receiver is told what is gone, and a sender only what came back to it', async () => {
  const post = new Post([entry(1, 'a'), entry(2, 'nobody')])
  post.missing.add('nobody')
  await post.round((postman) => postman.notify(0))
  post.entries = [entry(3, 'a'), entry(4, 'nobody')]
  await post.round((postman) => postman.notify(0))
  expect(post.told['a']).toEqual({ from: '1:1:0:1-0' })
  expect(post.told['from']).toEqual({ '!nobody': '1:2:0:2-0' })
  expect(post.told['nobody']).toEqual({})
})

it('what a process that ended has left in the memory of a receiver is found, but not what may come again', async () => {
  const post = new Post([entry(8, 'b'), entry(9, 'a')])
  post.refusing.add('b 8')
  post.remembered['a'] = { gone: '1:1:0:1-0', '!back': '1:2:0:2-0', there: '1:8:0:8-0' }
  await post.round((postman) => postman.notify(0))
  post.entries.push(entry(10, 'a'))
  await post.round((postman) => postman.notify(0))
  expect(post.told['a']).toEqual({ gone: '1:1:0:1-0', '!back': '1:2:0:2-0', from: '1:9:0:9-0' })
})
