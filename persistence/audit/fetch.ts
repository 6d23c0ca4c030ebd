/**
 * One `fetch` of a cursor, taken piece by piece. How many rows it brings is known beforehand, how large they are is not: where
 * more has come than a piece may hold, the connection is not read on until that piece has been taken, and PostgreSQL waits.
 */
import type pg from 'pg'

/** Texts as PostgreSQL writes them; `null` where there is none. */
export type TextRow = readonly (string | null)[]

/** What the library says of a row. */
interface DataRow {
  /** Bytes on the wire. */
  readonly length: number
  readonly fields: (string | null)[]
}

/** The library's own query would gather all rows: this is one of another kind, as its cursors are. */
export class Fetch implements pg.Submittable {
  /** Taken over by the library where it has a time for answers: it is told of the end. */
  callback: ((error: Error | null) => void) | undefined
  /** Of the rows taken so far. */
  rowsTaken = 0
  bytesTaken = 0
  readonly #text: string
  readonly #pieceBytes: number
  #connection: pg.Connection | null = null
  #rows: TextRow[] = []
  #bytes = 0
  #holding: 'pieces' | 'all' | 'nothing' = 'pieces'
  #isPaused = false
  #end: { readonly error: Error | null } | null = null
  #wake: () => void = () => undefined

  /** @param text a statement without parameters, of which every column is text */
  constructor(text: string, pieceBytes: number) {
    this.#text = text
    this.#pieceBytes = pieceBytes
  }

  /**
   * The next rows, hardly more bytes than a piece and one row. None: that was all.
   * @throws Error of PostgreSQL
   */
  async take(): Promise<TextRow[]> {
    if (this.#end === null && this.#bytes < this.#pieceBytes)
      await new Promise<void>((resolve) => (this.#wake = resolve))
    if (this.#end !== null && this.#end.error !== null) throw this.#end.error
    const rows = this.#rows
    this.rowsTaken += rows.length
    this.bytesTaken += this.#bytes
    this.#rows = []
    this.#bytes = 0
    this.#resume()
    return rows
  }

  /** Something else is to be asked on this connection: what comes of this fetch before is held, however much it is. */
  holdAll(): void {
    if (this.#holding === 'pieces') this.#holding = 'all'
    this.#resume()
  }

  /** No more is taken. What has not come yet is passed over. */
  drop(): void {
    this.#holding = 'nothing'
    this.#rows = []
    this.#resume()
  }

  submit(connection: pg.Connection): void {
    this.#connection = connection
    connection.query(this.#text)
  }

  handleRowDescription(): void {
    // The columns are known to who asks.
  }

  handleDataRow({ length, fields }: DataRow): void {
    if (this.#holding === 'nothing') return
    this.#rows.push(fields)
    this.#bytes += length
    if (this.#bytes < this.#pieceBytes) return
    if (this.#holding === 'pieces' && !this.#isPaused) {
      this.#isPaused = true
      this.#connection?.stream.pause()
    }
    this.#wake()
  }

  handleCommandComplete(): void {
    // The connection is ready soon.
  }

  handleReadyForQuery(): void {
    this.#finish(null)
  }

  handleError(error: Error): void {
    this.#finish(error)
  }

  #finish(error: Error | null): void {
    this.#end ??= { error }
    this.#resume()
    this.callback?.(error)
    this.#wake()
  }

  #resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#connection?.stream.resume()
  }
}
