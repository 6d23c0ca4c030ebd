/**
 * What a bench has started and must not leave behind when it is told to end, or fails: servers would go on using the machine, and
 * their ports. There is one such list a process, as there is one set of signals.
 */

type Stop = () => Promise<void>

const stops: Stop[] = []
let isEnding = false

/** Stops it if the process is to end: what was started last first. @returns called when it was stopped in the ordinary way */
export function stopAtEnd(stop: Stop): () => void {
  if (stops.length === 0) listen()
  stops.push(stop)
  return () => {
    const at = stops.indexOf(stop)
    if (at >= 0) stops.splice(at, 1)
    if (stops.length === 0 && !isEnding) unlisten()
  }
}

const onSignal = (signal: NodeJS.Signals): void => {
  console.error(`\n${signal}: what was started is stopped`)
  void end(1)
}
const onError = (error: unknown): void => {
  // What fails because its servers are being stopped says nothing new.
  if (!isEnding) console.error(error)
  void end(1)
}
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function listen(): void {
  for (const signal of signals) process.on(signal, onSignal)
  process.on('uncaughtException', onError)
}

function unlisten(): void {
  for (const signal of signals) process.off(signal, onSignal)
  process.off('uncaughtException', onError)
}

async function end(code: number): Promise<void> {
  if (isEnding) return
  isEnding = true
  for (const stop of [...stops].reverse())
    await stop().catch((error: unknown) => console.error('could not be stopped:', error))
  process.exit(code)
}
