/** A client of a session in virtual time: its events are checked, and each step begins from the record alone. */
import { VirtualSession } from '../virtual-session.ts'

export class Timed extends VirtualSession {
  get context(): Record<string, unknown> {
    return this.state.context as Record<string, unknown>
  }

  /** @returns whether anything was committed */
  client(type: string, members: object = {}): boolean {
    const { version } = this.record
    this.send(this.kernel.admit({ ...members, type }))
    return this.record.version > version
  }

  /** Times at which armed timers are due. */
  get dues(): number[] {
    return this.record.timers
      .split(';')
      .slice(1)
      .map((each) => Number(each.split(':')[1]))
      .sort((a, b) => a - b)
  }
}
