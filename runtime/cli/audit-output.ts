/** What commands write: lines, tables, and how far they have come. */
import { once } from 'node:events'

/** Writes to standard output; waits while its reader is behind. */
export async function write(text: string): Promise<void> {
  const { errored } = process.stdout
  if (errored) throw errored
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

export async function say(line: string): Promise<void> {
  await write(`${line}\n`)
}

export function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}

/** Columns under their names: numbers to the right, texts to the left. */
export function table(
  heads: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
): string {
  const texts = rows.map((row) => row.map((cell) => (cell === null ? '-' : String(cell))))
  const isNumber = heads.map((_, column) => rows.every((row) => typeof row[column] !== 'string'))
  const widths = heads.map((head, column) =>
    texts.reduce((width, row) => Math.max(width, (row[column] ?? '').length), head.length),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        isNumber[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return [line(heads), ...texts.map(line)].join('\n')
}

/** `3 rows`, `1 row`. */
export function count(number: number, what: string): string {
  return `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`
}

const PROGRESS_MS = 1_000

/** Tells people how far it is, on standard error, once a second; nothing is said of what is done sooner. */
export function progress(what: string): (done: number) => void {
  let toldAt = Date.now()
  return (done) => {
    const now = Date.now()
    if (now - toldAt < PROGRESS_MS) return
    toldAt = now
    process.stderr.write(`${done.toLocaleString('en')} ${what}\n`)
  }
}
