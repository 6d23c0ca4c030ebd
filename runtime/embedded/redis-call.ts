import { createConnection } from 'node:net'

/**
 * One command to a Redis on loopback, in Redis' inline form; the reply as raw text. Enough to ask a server who it is
 * while it starts; everything else goes through a client library in `persistence/`.
 *
 * @throws Error if there is no answer within `timeoutMs`.
 */
export function callRedis(port: number, command: string, timeoutMs = 2000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port, timeout: timeoutMs })
    let reply = ''
    socket.setEncoding('utf8')
    socket.once('connect', () => socket.write(`${command}\r\nQUIT\r\n`))
    socket.on('data', (chunk: string) => {
      reply += chunk
    })
    socket.once('timeout', () => socket.destroy(new Error(`no answer from port ${String(port)}`)))
    socket.once('error', reject)
    socket.once('close', () => {
      // The last line answers QUIT.
      resolve(reply.replace(/\+OK\r\n$/, ''))
    })
  })
}

/** The `dir` that a Redis at this port works in, or `null` if none answers. */
export async function redisDirectory(port: number): Promise<string | null> {
  try {
    // *2 $3 dir $<length> <path>
    return (await callRedis(port, 'CONFIG GET dir')).split('\r\n')[4] ?? null
  } catch {
    return null
  }
}

/** The pid of the Redis at this port. */
export async function redisProcess(port: number): Promise<number> {
  const pid = /process_id:(\d+)/.exec(await callRedis(port, 'INFO server'))?.[1]
  if (pid === undefined) throw new Error(`no Redis answers at port ${String(port)}`)
  return Number(pid)
}
