import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { environmentName, flagName, optionNames } from '../../runtime/option-table.ts'
import { optionsReference } from '../../runtime/options-reference.ts'
import { completeOptions, OptionsError, parseOptions } from '../../runtime/options.ts'

function problemsOf(argv: string[], env: Record<string, string> = {}): readonly string[] {
  try {
    parseOptions(argv, env)
  } catch (error) {
    if (error instanceof OptionsError) return error.problems
    throw error
  }
  return []
}

describe('options', () => {
  it('have the defaults of the table when nothing is given', () => {
    const { options, files, help } = parseOptions([], {})
    expect(options).toMatchObject({ host: '127.0.0.1', port: 7400, redisUrl: null, audit: true })
    expect(options.workers).toBeGreaterThan(0)
    expect(files).toEqual([])
    expect(help).toBeNull()
  })

  it('are read from the environment, and a flag wins over it', () => {
    const env = {
      PORT: '1',
      WORKERS: '3',
      AUDIT: 'false',
      ALLOWED_ORIGINS: 'https://a.example, http://b.example:81/',
    }
    const { options } = parseOptions(['--port=2'], env)
    expect(options).toMatchObject({ port: 2, workers: 3, audit: false })
    expect(options.allowedOrigins).toEqual(['https://a.example', 'http://b.example:81'])
  })

  it('take paths of definitions from where npm was called, not from the folder in which it runs scripts', () => {
    expect(parseOptions(['a.ts', '/b'], { INIT_CWD: '/somewhere' }).files).toEqual(['/somewhere/a.ts', '/b'])
    expect(parseOptions(['a.ts'], {}).files).toEqual([join(process.cwd(), 'a.ts')])
  })

  it('take an empty environment variable for not set', () => {
    expect(parseOptions([], { PORT: '', REDIS_URL: '' }).options).toMatchObject({
      port: 7400,
      redisUrl: null,
    })
  })

  it('of authentication are checked together, and no secret is shown', () => {
    const problems = problemsOf([], { AUTH_SECRET: 'too short', AUTH_ISSUER: 'me', TLS_CERT: 'a.pem' })
    expect(problems).toHaveLength(3)
    expect(problems.join('\n')).not.toContain('too short')
    for (const place of ['https://a.example/keys', 'http://127.0.0.1:1/keys', './keys.json'])
      expect(parseOptions([], { AUTH_JWKS: place }).options.authJwks).toBe(place)
    for (const place of ['http://a.example/keys', 'ftp://a.example/keys'])
      expect(problemsOf([], { AUTH_JWKS: place })).toHaveLength(1)
    expect(parseOptions(['--trust-proxy=10.0.0.0/8, ::1'], {}).options.trustProxy).toEqual([
      '10.0.0.0/8',
      '::1',
    ])
    expect(problemsOf(['--trust-proxy=proxy'])).toHaveLength(1)
  })

  it('leave positional arguments as files, wherever they stand', () => {
    const { options, files } = parseOptions(['a.ts', '--port', '0', 'b', '--', '--c.ts'], {})
    expect(options.port).toBe(0)
    expect(files).toEqual(['a.ts', 'b', '--c.ts'].map((file) => join(process.cwd(), file)))
  })

  it('tell all that is wrong at once, with the allowed values', () => {
    const problems = problemsOf(['--prot', '1', '--workers=0', '--host'], { PORT: 'http', LOG_LEVEL: 'loud' })
    expect(problems).toHaveLength(5)
    expect(problems.join('\n')).toMatch(/--prot: .*Did you mean --port\?/)
    expect(problems.join('\n')).toMatch(/--workers: .*"0".* from 1 to 512/)
    expect(problems.join('\n')).toMatch(/--host: the value is missing/)
    expect(problems.join('\n')).toMatch(/PORT: .*"http".* from 0 to 65535 \(default: 7400\)/)
    expect(problems.join('\n')).toMatch(/LOG_LEVEL: .*debug, info, warn, error, silent/)
  })

  it.each(['-1', '1.5', '0x10', '1e3', ' 7', '65536', '٣'])('refuse the port %j', (port) => {
    expect(problemsOf([], { PORT: port })).toHaveLength(1)
  })

  it('refuse a URL of another kind without repeating its password', () => {
    const problems = problemsOf([], { REDIS_URL: 'http://me:secret@host', DATABASE_URL: 'secret' })
    expect(problems).toHaveLength(2)
    expect(problems.join('\n')).not.toContain('secret')
  })

  it('refuse a hard limit below the soft one', () => {
    expect(problemsOf(['--max-backlog-bytes=2000'])[0]).toMatch(/--max-backlog-bytes \(2000\)/)
  })

  it('given in code are completed and checked by the same table', () => {
    expect(completeOptions({ port: 0, allowedOrigins: ['https://a.example'] })).toMatchObject({
      port: 0,
      allowedOrigins: ['https://a.example'],
      keyPrefix: 'troupe',
    })
    expect(() => completeOptions({ port: -1 })).toThrow('from 0 to 65535')
    expect(() => completeOptions({ prot: 1 } as object)).toThrow('Did you mean port?')
  })

  it('are all in the help text and in the reference, which is the file on disk', () => {
    const help = parseOptions(['--help', '--prot'], {}).help ?? ''
    const reference = optionsReference()
    for (const name of optionNames) {
      expect(help).toContain(flagName(name))
      expect(reference).toContain(`\`${name}\` | \`${environmentName(name)}\` | \`${flagName(name)}\``)
    }
    const file = join(import.meta.dirname, '../../docs/options.md')
    expect(readFileSync(file, 'utf8'), 'run `node scripts/docs.mjs`').toBe(reference)
  })
})
