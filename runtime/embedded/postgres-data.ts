import { chownSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { CommandResult } from './command.ts'
import type { PostgresBinaries } from './postgres-binaries.ts'
import type { ServerUser } from './unprivileged.ts'

export const SUPERUSER = 'troupe'
export const DATABASE = 'troupe'

/** Nothing of the caller's environment may redirect the server (PGDATA, PGPORT, a locale that is not installed). */
export const SERVER_ENV = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

interface DataFolder {
  readonly data: string
  readonly binaries: PostgresBinaries
  readonly user: ServerUser
}

/**
 * Writes a new, empty database cluster with the database `troupe`. It is made beside its place and moved there when
 * it is whole, so that an interrupted first start leaves nothing that the next one would take for data.
 */
export async function initializePostgres(
  { data, binaries, user }: DataFolder,
  password: string,
  durable: boolean,
): Promise<void> {
  if (existsSync(data) && readdirSync(data).length > 0) {
    throw new Error(
      `${data} exists and is not a PostgreSQL data folder: move it away, or choose another DATA_DIR`,
    )
  }
  const draft = `${data}.new`
  const passwordFile = `${data}.password`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { mode: 0o700 })
  try {
    writeFileSync(passwordFile, password, { mode: 0o600 })
    if (user.identity !== null) {
      chownSync(draft, user.identity.uid, user.identity.gid)
      chownSync(passwordFile, user.identity.uid, user.identity.gid)
    }
    const initdb = await user.run(
      binaries.initdb,
      [
        `--pgdata=${draft}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--no-instructions',
        ...(durable ? [] : ['--no-sync']),
      ],
      { env: SERVER_ENV, timeoutMs: 120_000 },
    )
    must('initdb', initdb)
    await runSingleUser({ data: draft, binaries, user }, `create database ${DATABASE}`)
  } finally {
    rmSync(passwordFile, { force: true })
  }
  renameSync(draft, data)
}

/** Gives the stopped server's user a new password, when the remembered one is lost. */
export async function resetPassword(folder: DataFolder, password: string): Promise<void> {
  await runSingleUser(folder, `alter role ${SUPERUSER} password '${password}'`)
}

async function runSingleUser({ data, binaries, user }: DataFolder, statement: string): Promise<void> {
  // In this mode the server itself reads statements, one a line, from its standard input.
  const run = await user.run(binaries.postgres, ['--single', '-D', data, 'postgres'], {
    env: SERVER_ENV,
    input: `${statement}\n`,
    timeoutMs: 120_000,
  })
  must(statement.split(' ').slice(0, 2).join(' '), run)
}

function must(what: string, { code, stderr }: CommandResult): void {
  const complaint = /(?:error|ERROR|FATAL|PANIC):\s+(.*)/.exec(stderr)?.[1]
  if (code === 0 && complaint === undefined) return
  throw new Error(
    `PostgreSQL's data folder could not be made (${what}: ${complaint ?? stderr.trim().slice(-300)}). ` +
      'Make room and check the rights of the folder, or set DATABASE_URL to a PostgreSQL of yours',
  )
}
