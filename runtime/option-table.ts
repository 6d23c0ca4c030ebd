import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { isAddressRange } from '../transport/gateway/client-address.ts'
import { limitTable } from '../transport/gateway/limits.ts'
import {
  choice,
  flag,
  integer,
  optionalText,
  originList,
  serverUrl,
  text,
  textList,
  type Option,
} from './option-kinds.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const YEAR_MS = 365 * 24 * HOUR_MS
const MIB = 1024 * 1024
const MANY = 1_000_000

/** All options: the one place where an option gets its name, default, unit and meaning. */
export const optionTable = {
  host: text({
    default: '127.0.0.1',
    pattern: /^[A-Za-z0-9.:_-]+$/,
    allowed: 'an IP address or a host name of this machine',
    description:
      'Address to listen on; without authentication one of this machine only (127.0.0.1, ::1, localhost).',
  }),
  port: integer({
    default: 7400,
    min: 0,
    max: 65_535,
    description: 'TCP port to listen on; 0: any free one.',
  }),
  workers: integer({
    default: availableParallelism(),
    defaultText: 'number of cores',
    min: 1,
    max: 512,
    description: 'Processes that serve clients.',
  }),
  redisUrl: serverUrl(['redis', 'rediss'], {
    defaultText: 'starts its own',
    description: 'The Redis (or Valkey) 7.0 or later to use, as `redis://user:password@host:port/db`.',
  }),
  databaseUrl: serverUrl(['postgres', 'postgresql'], {
    defaultText: 'starts its own',
    description: 'The PostgreSQL 14 or later to use, as `postgres://user:password@host:port/database`.',
  }),
  keyPrefix: text({
    default: 'troupe',
    pattern: /^[A-Za-z0-9_.-]{1,64}$/,
    allowed: '1 to 64 letters, digits, _, . or -',
    description: 'What all keys and channels in Redis begin with; several Troupes can share one Redis.',
  }),
  dataDir: text({
    default: '.troupe',
    pattern: /^[^\0]+$/,
    allowed: 'the path of a folder',
    description: 'Folder of the data of the servers that Troupe starts itself.',
  }),
  logLevel: choice(['debug', 'info', 'warn', 'error', 'silent'], {
    default: 'info',
    description: 'What is logged: this level and those above it.',
  }),
  audit: flag({ default: true, description: 'Whether this start runs the audit process.' }),
  auditThreads: integer({
    // A second one writes a sixth more at most, and on few cores it takes more from those who serve.
    default: availableParallelism() < 4 ? 1 : 2,
    defaultText: '2; 1 on fewer than four cores',
    min: 1,
    max: 64,
    description: 'Threads that write to PostgreSQL.',
  }),
  auditBatch: integer({
    default: 500,
    min: 1,
    max: 10_000,
    unit: 'rows',
    description: 'Most transitions written to PostgreSQL in one statement.',
  }),
  auditRetentionDays: integer({
    default: 0,
    min: 0,
    max: 36_500,
    unit: 'days',
    description:
      'How many days of transitions PostgreSQL keeps beside today (UTC); older days, and sessions that ended before, are dropped. 0: all are kept.',
  }),
  maxOutboxBytes: integer({
    default: 4096 * MIB,
    min: 0,
    max: 1_048_576 * MIB,
    unit: 'bytes',
    description:
      'Memory in Redis for transitions that PostgreSQL does not hold yet, about half a kB each; beyond it writes are `unavailable`. 0: no limit.',
  }),
  maxRedisMemoryPercent: integer({
    default: 90,
    min: 0,
    max: 100,
    unit: '%',
    description:
      "How much of its `maxmemory` (where none is set: of its machine's memory) Redis may use; beyond it writes are `unavailable`, before Redis itself refuses everything. 0: no limit.",
  }),
  allowedOrigins: originList({
    default: [],
    defaultText: 'pages on localhost',
    description: 'Origins of the web pages that may connect, separated by commas.',
  }),
  authSecret: optionalText({
    fits: (value) => Buffer.byteLength(value) >= 32,
    allowed: 'a secret of 32 bytes or more',
    secret: true,
    description: 'Clients authenticate by tokens (JWT) that are signed with this secret (HS256).',
  }),
  authJwks: optionalText({
    fits: isKeySetPlace,
    allowed: 'the path of a file, or a URL with https:// (http:// on this machine)',
    secret: true,
    description:
      'Clients authenticate by tokens (JWT) that are signed with a key of this JSON Web Key Set (RS, PS, ES, EdDSA).',
  }),
  authAudience: optionalText({
    fits: (value) => value !== '',
    allowed: 'a text',
    description: 'What the audience (`aud`) of tokens must hold.',
  }),
  authIssuer: optionalText({
    fits: (value) => value !== '',
    allowed: 'a text',
    description: 'What the issuer (`iss`) of tokens must be.',
  }),
  tlsCert: optionalText({
    fits: (value) => value !== '',
    allowed: 'the path of a PEM file',
    description: 'Certificate, with its chain: serves `wss://` and `https://`. With TLS_KEY.',
  }),
  tlsKey: optionalText({
    fits: (value) => value !== '',
    allowed: 'the path of a PEM file',
    description: 'Private key of the certificate.',
  }),
  trustProxy: textList({
    default: [],
    defaultText: 'none',
    fits: isAddressRange,
    allowed: 'IP addresses or ranges such as 10.0.0.0/8, separated by commas',
    description: 'Proxies whose `X-Forwarded-For` tells where a connection comes from.',
  }),
  maxFrameBytes: integer({
    default: limitTable.maxFrameBytes.value,
    min: 1024,
    max: 256 * MIB,
    unit: 'bytes',
    description: limitTable.maxFrameBytes.meaning,
  }),
  maxBatchLength: integer({
    default: limitTable.maxBatchLength.value,
    min: 1,
    max: 10_000,
    description: limitTable.maxBatchLength.meaning,
  }),
  maxJsonDepth: integer({
    default: limitTable.maxJsonDepth.value,
    min: 8,
    max: 500,
    description: limitTable.maxJsonDepth.meaning,
  }),
  maxInFlight: integer({
    default: limitTable.maxInFlight.value,
    min: 1,
    max: MANY,
    description: limitTable.maxInFlight.meaning,
  }),
  maxHttpRequests: integer({
    default: limitTable.maxHttpRequests.value,
    min: 1,
    max: MANY,
    description: limitTable.maxHttpRequests.meaning,
  }),
  bodyWithinMs: integer({
    default: limitTable.bodyWithinMs.value,
    min: 10,
    max: HOUR_MS,
    unit: 'ms',
    description: limitTable.bodyWithinMs.meaning,
  }),
  maxSessionsPerConnection: integer({
    default: limitTable.maxSessionsPerConnection.value,
    min: 1,
    max: 1000 * MANY,
    description: limitTable.maxSessionsPerConnection.meaning,
  }),
  maxSubscriptions: integer({
    default: limitTable.maxSubscriptions.value,
    min: 1,
    max: MANY,
    description: limitTable.maxSubscriptions.meaning,
  }),
  maxConnections: integer({
    default: limitTable.maxConnections.value,
    min: 1,
    max: MANY,
    description: limitTable.maxConnections.meaning,
  }),
  maxConnectionsPerAddress: integer({
    default: limitTable.maxConnectionsPerAddress.value,
    min: 1,
    max: MANY,
    description: limitTable.maxConnectionsPerAddress.meaning,
  }),
  maxUnauthenticated: integer({
    default: limitTable.maxUnauthenticated.value,
    min: 1,
    max: MANY,
    description: limitTable.maxUnauthenticated.meaning,
  }),
  authenticateWithinMs: integer({
    default: limitTable.authenticateWithinMs.value,
    min: 10,
    max: MINUTE_MS,
    unit: 'ms',
    description: limitTable.authenticateWithinMs.meaning,
  }),
  maxRequestsPerSecond: integer({
    default: limitTable.maxRequestsPerSecond.value,
    min: 0,
    max: MANY,
    description: limitTable.maxRequestsPerSecond.meaning,
  }),
  maxRequestBurst: integer({
    default: limitTable.maxRequestBurst.value,
    min: 1,
    max: MANY,
    description: limitTable.maxRequestBurst.meaning,
  }),
  maxIdleMs: integer({
    default: limitTable.maxIdleMs.value,
    min: 0,
    max: 24 * HOUR_MS,
    unit: 'ms',
    description: limitTable.maxIdleMs.meaning,
  }),
  maxBufferedBytes: integer({
    default: limitTable.maxBufferedBytes.value,
    min: 1024,
    max: 1024 * MIB,
    unit: 'bytes',
    description: limitTable.maxBufferedBytes.meaning,
  }),
  maxBacklogBytes: integer({
    default: limitTable.maxBacklogBytes.value,
    min: 1024,
    max: 1024 * MIB,
    unit: 'bytes',
    description: limitTable.maxBacklogBytes.meaning,
  }),
  heartbeatMs: integer({
    default: limitTable.heartbeatMs.value,
    min: 10,
    max: HOUR_MS,
    unit: 'ms',
    description: limitTable.heartbeatMs.meaning,
  }),
  maxSessionBytes: integer({
    default: 262_144,
    min: 1024,
    max: 64 * MIB,
    unit: 'bytes',
    description: 'Largest state of a session, as JSON.',
  }),
  maxEventBytes: integer({
    default: 65_536,
    min: 256,
    max: 64 * MIB,
    unit: 'bytes',
    description: 'Largest event, input or message, as JSON.',
  }),
  warmSessions: integer({
    default: 10_000,
    min: 1,
    max: MANY,
    description:
      'Sessions that one worker surely keeps ready in memory, those that were used last; at most it keeps twice as many.',
  }),
  commandKeyTtlMs: integer({
    default: 2 * MINUTE_MS,
    min: 1000,
    max: HOUR_MS,
    unit: 'ms',
    description: 'How long a command key is remembered.',
  }),
  sessionTtlMs: integer({
    default: HOUR_MS,
    min: 100,
    max: 10 * YEAR_MS,
    unit: 'ms',
    description: 'How long a session lives without a commit, where its definition does not say.',
  }),
  drainTimeoutMs: integer({
    default: 10_000,
    min: 0,
    max: HOUR_MS,
    unit: 'ms',
    description: 'How long a stopping process may take to finish its work.',
  }),
}

/** The values of all options. */
export type Options = {
  readonly [K in keyof typeof optionTable]: (typeof optionTable)[K] extends Option<infer T> ? T : never
}

export type OptionName = keyof Options

export const optionNames = Object.keys(optionTable) as OptionName[]

/** `maxFrameBytes` → `MAX_FRAME_BYTES`. */
export function environmentName(name: OptionName): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
}

/** `maxFrameBytes` → `--max-frame-bytes`. */
export function flagName(name: OptionName): string {
  return `--${environmentName(name).toLowerCase().replaceAll('_', '-')}`
}

/** The default as the reference and error messages show it. */
export function defaultText(name: OptionName): string {
  const option: Option<unknown> = optionTable[name]
  return option.defaultText ?? String(option.default)
}

/** A file, or where keys come safely from. */
function isKeySetPlace(value: string): boolean {
  if (!/^[a-z]+:\/\//i.test(value)) return value !== ''
  if (!URL.canParse(value)) return false
  const { protocol, hostname } = new URL(value)
  return protocol === 'https:' || (protocol === 'http:' && isThisMachine(hostname))
}

/** Whether a host to listen on, or to ask, can only be this machine. */
export function isThisMachine(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1')
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'))
}
