import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { lastLine, runCommand, type CommandOptions, type CommandResult } from './command.ts'

/**
 * PostgreSQL refuses to run as root, and changing the system's users is not ours to do. So root starts it as a user
 * that exists anyway; an ordinary user as himself.
 */
export interface ServerUser {
  /** `null`: as whoever we are. */
  readonly identity: { readonly uid: number; readonly gid: number } | null
  run(
    command: string,
    args: readonly string[],
    options: Omit<CommandOptions, 'uid' | 'gid'>,
  ): Promise<CommandResult>
}

/**
 * @param dataDir the server's data; its owner, if it exists and is not root, stays its user.
 * @param paths what else the server must be able to reach.
 */
export async function chooseServerUser(dataDir: string, paths: readonly string[]): Promise<ServerUser> {
  if (process.getuid?.() !== 0) return { identity: null, run: runCommand }
  const identity = ownerOf(dataDir) ?? (await lookUp('postgres')) ?? (await lookUp('nobody'))
  if (identity === null) {
    throw new Error(
      'PostgreSQL does not run as root, and this system has neither a user `postgres` nor `nobody`: ' +
        'start as an ordinary user, or set DATABASE_URL to a PostgreSQL of yours',
    )
  }
  const reachable = [dirname(dataDir), ...paths].every((path) =>
    canTraverse(path, identity.uid, identity.gid),
  )
  return {
    identity,
    run: (command, args, options) =>
      reachable
        ? runCommand(command, args, { ...options, ...identity })
        : runThroughClosedFolders(identity, command, args, options),
  }
}

function ownerOf(path: string): { uid: number; gid: number } | null {
  try {
    const { uid, gid } = statSync(path)
    return uid === 0 ? null : { uid, gid }
  } catch {
    return null
  }
}

async function lookUp(user: string): Promise<{ uid: number; gid: number } | null> {
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map((flag) => runCommand('id', [flag, user], { timeoutMs: 10_000 })),
  )
  if (uid?.code !== 0 || gid?.code !== 0) return null
  return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
}

/** Whether mode bits let this user into the folder and all those above it. */
function canTraverse(path: string, uid: number, gid: number): boolean {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    const { mode, uid: owner, gid: group } = statSync(folder)
    const execute = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001
    if ((mode & execute) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

/**
 * A clone under /root lies in a folder that only root may enter. The server then keeps one capability, to pass
 * permission checks on files, and nothing else of root's. Ambient, because PostgreSQL's programs start each other;
 * `no_setuid_fixup`, because initdb asks access(2), which otherwise ignores the capabilities of ordinary users.
 */
async function runThroughClosedFolders(
  identity: { uid: number; gid: number },
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const privileges = [
    `--reuid=${String(identity.uid)}`,
    `--regid=${String(identity.gid)}`,
    '--clear-groups',
    '--securebits=+no_setuid_fixup',
    '--inh-caps=-all,+dac_override',
    '--ambient-caps=-all,+dac_override',
    '--',
  ]
  let result: CommandResult
  try {
    result = await runCommand('setpriv', [...privileges, command, ...args], options)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw closedFolder('the program `setpriv` (package util-linux) is missing', identity.uid)
  }
  if (result.code !== 0 && result.stderr.startsWith('setpriv:'))
    throw closedFolder(lastLine(result.stderr), identity.uid)
  return result
}

function closedFolder(reason: string, uid: number): Error {
  return new Error(
    `PostgreSQL must run as an ordinary user (here uid ${String(uid)}), who cannot enter the project's folder (${reason}): ` +
      'move the project to a folder that others may enter, or set DATABASE_URL to a PostgreSQL of yours',
  )
}
