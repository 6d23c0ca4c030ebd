import { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { WebSocket } from 'ws'
import { Frame, type MessageNotification } from '../../transport/feed/subscriber.ts'
import type { SessionId } from '../../actors/session.ts'
import { Flusher } from '../../transport/gateway/flusher.ts'
import { Outlet } from '../../transport/gateway/outlet.ts'

describe('what is written in one turn', () => {
  function streams(...names: string[]): { log: string[]; all: Duplex[] } {
    const log: string[] = []
    const all = names.map(
      (name) =>
        new Duplex({
          write(chunk: Buffer, _encoding, done) {
            log.push(`${name}:${chunk.toString()}`)
            done()
          },
          writev(chunks, done) {
            log.push(`${name}:${chunks.map(({ chunk }) => String(chunk)).join('+')}`)
            done()
          },
        }),
    )
    return { log, all }
  }

  it('leaves together, to those who wait for a reply first', async () => {
    const flusher = new Flusher()
    const { log, all } = streams('a', 'b', 'c')
    const write = (index: number, text: string, isReply: boolean): void => {
      const stream = all[index] as Duplex
      flusher.cork(stream, isReply)
      stream.write(text)
    }
    write(0, 'news', false)
    write(1, 'news', false)
    write(2, 'news', false)
    write(1, 'reply', true)
    write(1, 'more', false)
    expect(log).toEqual([])
    await turn()
    expect(log).toEqual(['b:news+reply+more', 'a:news', 'c:news'])

    write(2, 'reply', true)
    write(0, 'news', false)
    await turn()
    expect(log.slice(3)).toEqual(['c:reply', 'a:news'])
  })

  it('is a reply or a notification, as its client is told', async () => {
    const options = { flusher: new Flusher(), limits: { maxBufferedBytes: 1e6, maxBacklogBytes: 1e6 } }
    const { log, all } = streams('subscriber', 'sender')
    const idle = { congested: () => undefined, relieved: () => undefined, overflowed: () => undefined }
    const socket = { readyState: 1, OPEN: 1 } as WebSocket
    const [subscriber, sender] = all.map((stream) => new Outlet(socket, stream, options, idle))
    const frame = new Frame(() => 'news')
    const news: MessageNotification = { kind: 'message', id: 's' as SessionId, message: '1', frame }
    subscriber?.notify(news)
    sender?.notify(news)
    sender?.reply('reply')
    await turn()
    expect(log.map((line) => line.split(':')[0])).toEqual(['sender', 'subscriber'])
  })
})
