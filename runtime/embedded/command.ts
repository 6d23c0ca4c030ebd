import { spawn } from 'node:child_process'

/** How a command ended. `code` is `null` if a signal ended it. */
export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly cwd?: string
  /** Replaces the whole environment; inherited if absent. */
  readonly env?: Record<string, string>
  readonly uid?: number
  readonly gid?: number
  /** Text for standard input. */
  readonly input?: string
  readonly timeoutMs: number
}

/**
 * Runs a program to its end. A failing exit code is a result, not an error.
 * @throws Error if it cannot be started (ENOENT, EPERM), or did not end within `timeoutMs`.
 */
export function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const { input, timeoutMs, ...spawnOptions } = options
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...spawnOptions, stdio: ['pipe', 'pipe', 'pipe'] })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    const deadline = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${command} did not end within ${String(timeoutMs / 1000)} s`))
    }, timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
    // A program that ends without reading its input breaks the pipe; its exit code says more than EPIPE does.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input ?? '')
    child.once('error', (error) => {
      clearTimeout(deadline)
      reject(error)
    })
    child.once('close', (code) => {
      clearTimeout(deadline)
      resolve({
        code,
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8'),
      })
    })
  })
}

/** The last line that says something: what a program complained about. */
export function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? ''
}
