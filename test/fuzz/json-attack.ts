/** A connection that is well made, and on which nothing else is. */
import WebSocket from 'ws'

/** Until the last of them is answered. */
const PATIENCE_MS = 60_000
const LAST = 'the last of the fuzz'

/**
 * Sends all of it over one connection, and then a good request.
 * @returns what was wrong with the answers
 */
export async function sendAll(url: string, texts: readonly string[]): Promise<string[]> {
  const wrong: string[] = []
  const socket = new WebSocket(url)
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => {
    const over = (finding?: string): void => {
      clearTimeout(timer)
      if (finding !== undefined) wrong.push(finding)
      socket.removeAllListeners('close')
      resolve()
    }
    const timer = setTimeout(() => over('a good request behind the bad ones was not answered'), PATIENCE_MS)
    socket.on('open', () => {
      for (const text of texts) socket.send(text)
      socket.send(
        JSON.stringify({ jsonrpc: '2.0', id: LAST, method: 'getSession', params: { id: 'fuzz-last' } }),
      )
    })
    socket.on('message', (data: Buffer) => {
      const text = data.toString()
      const complaint = complaintAbout(text)
      if (complaint !== null) wrong.push(complaint)
      if (text.startsWith(`{"jsonrpc":"2.0","id":"${LAST}"`)) over()
    })
    socket.on('close', (code) => over(`texts closed the connection with ${code}`))
  })
  socket.terminate()
  return wrong
}

/** Whatever was asked, what comes back is JSON-RPC. */
function complaintAbout(text: string): string | null {
  try {
    const frame: unknown = JSON.parse(text)
    const all = (Array.isArray(frame) ? frame : [frame]) as Record<string, unknown>[]
    const isSound = all.every(
      (one) => one['jsonrpc'] === '2.0' && ('result' in one || 'error' in one || 'method' in one),
    )
    if (!isSound) return `not JSON-RPC: ${text.slice(0, 300)}`
    const isFault = all.some(
      ({ error }) => (error as { data?: { code?: string } } | undefined)?.data?.code === 'internal',
    )
    return isFault ? `a fault of the server: ${text.slice(0, 300)}` : null
  } catch {
    return `not JSON: ${text.slice(0, 300)}`
  }
}
