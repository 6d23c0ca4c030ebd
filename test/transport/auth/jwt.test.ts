import { createHmac } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { jwt, keyOwner, rawToken, tokenOf } from './tokens.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const folder = mkdtempSync(join(tmpdir(), 'troupe-jwks-'))

function jwksFile(keys: readonly object[]): string {
  const path = join(folder, `${Math.random()}.json`)
  writeFileSync(path, JSON.stringify({ keys }))
  return path
}

function refusal(token: string, authenticator = jwt()) {
  return expect(authenticator.authenticate(token)).rejects
}

describe('a token', () => {
  it('tells who holds it, what else it says, and until when', async () => {
    const token = await tokenOf('ada', { claims: { team: 'red' } })
    const { principal, expiresAt } = await jwt().authenticate(token)
    expect(principal).toMatchObject({ id: 'ada', claims: { sub: 'ada', team: 'red' } })
    expect(expiresAt).toBe((principal.claims?.['exp'] as number) * 1000)
  })

  it('without an end counts until its connection ends', async () => {
    const { expiresAt } = await jwt().authenticate(await tokenOf('ada', { expiresIn: null }))
    expect(expiresAt).toBeNull()
  })

  it.each([
    ['garbage', 'x', /not a JSON Web Token/],
    ['nothing', '', /not a JSON Web Token/],
    ['a token without signature', rawToken({ alg: 'none' }, { sub: 'ada' }), /algorithm is "none"/],
    ['another algorithm of secrets', rawToken({ alg: 'HS512' }, { sub: 'ada' }, 'AA'), /"HS512"/],
    ['an algorithm of public keys', rawToken({ alg: 'RS256' }, { sub: 'ada' }, 'AA'), /only HS256/],
    ['no algorithm', rawToken({}, { sub: 'ada' }, 'AA'), /algorithm is undefined/],
    ['a wrong signature', rawToken({ alg: 'HS256' }, { sub: 'ada' }, 'AAAA'), /signature/],
    ['a very long one', 'x'.repeat(20_000), /longer than/],
  ])('TR2 is refused: %s', async (_what, token, sentence) => {
    await refusal(token).toMatchObject({
      code: 'unauthenticated',
      message: expect.stringMatching(sentence) as string,
    })
  })

  it('TR2 is refused if expired, not valid yet, of nobody, or of somebody else’s secret', async () => {
    await refusal(await tokenOf('ada', { expiresIn: -1 })).toThrow(/has expired/)
    await refusal(await tokenOf('ada', { claims: { nbf: now() + 60 } })).toThrow(/not valid yet/)
    await refusal(await tokenOf(undefined)).toThrow(/has no sub/)
    await refusal(await tokenOf('')).toThrow(/subject/)
    await refusal(await tokenOf('a\nb')).toThrow(/subject/)
    await refusal(await tokenOf('ada', { secret: 'x'.repeat(40) })).toThrow(/signature/)
    await refusal(await tokenOf('ada', { claims: { troupe: { session: 'a', actions: ['fly'] } } })).toThrow(
      /access token/,
    )
  })

  it('TR2 is refused if it is for another audience or from another issuer', async () => {
    const strict = jwt({ audience: 'games', issuer: 'https://issuer.example' })
    const claims = { aud: ['games', 'mail'], iss: 'https://issuer.example' }
    expect(await strict.authenticate(await tokenOf('ada', { claims }))).toMatchObject({
      principal: { id: 'ada' },
    })
    await refusal(await tokenOf('ada', { claims: { ...claims, aud: 'mail' } }), strict).toThrow(/audience/)
    await refusal(await tokenOf('ada', { claims: { ...claims, iss: 'me' } }), strict).toThrow(/issuer/)
    await refusal(await tokenOf('ada'), strict).toThrow(/has no iss|has no aud/)
  })
})

describe('a key set', () => {
  it.each(['RS256', 'ES256', 'EdDSA'])('of a file takes tokens of its keys: %s', async (alg) => {
    const [owner, stranger] = await Promise.all([keyOwner(alg, 'one'), keyOwner(alg, 'one')])
    const authenticator = jwt({ secret: null, jwks: jwksFile([owner.jwk]) })
    expect(await authenticator.authenticate(await owner.sign('ada'))).toMatchObject({
      principal: { id: 'ada' },
    })
    await refusal(await stranger.sign('ada'), authenticator).toThrow(/signature/)
    const unknown = await keyOwner(alg, 'two')
    await refusal(await unknown.sign('ada'), authenticator).toThrow(/no key is known/)
    // Nor by the secret that is not configured.
    await refusal(await tokenOf('ada'), authenticator).toThrow(/"HS256"/)
  })

  it('TR2 never takes a public key for a secret', async () => {
    const owner = await keyOwner('RS256', 'one')
    const path = jwksFile([owner.jwk])
    const head = rawToken({ alg: 'HS256', kid: 'one' }, { sub: 'ada' }).slice(0, -1)
    for (const secret of [JSON.stringify(owner.jwk), String(owner.jwk.n)]) {
      const token = `${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`
      await refusal(token, jwt({ secret: null, jwks: path })).toThrow(/"HS256"/)
      await refusal(token, jwt({ jwks: path })).toThrow(/signature/)
    }
  })

  it('of a URL is fetched when it is needed; unreachable, it is no fault of the token', async () => {
    const owner = await keyOwner('ES256', 'one')
    let isDown = true
    const server = createServer((_request, response) => {
      response.writeHead(isDown ? 500 : 200, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify({ keys: [owner.jwk] }))
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    try {
      const { port } = server.address() as AddressInfo
      const authenticator = jwt({ secret: null, jwks: `http://127.0.0.1:${port}/keys` })
      const token = await owner.sign('ada')
      await refusal(token, authenticator).toMatchObject({ code: 'unavailable' })
      isDown = false
      expect(await authenticator.authenticate(token)).toMatchObject({ principal: { id: 'ada' } })
    } finally {
      server.close()
    }
  })

  it('that cannot be read says so at once', () => {
    expect(() => jwt({ jwks: '/nowhere/keys.json' })).toThrow(/cannot be read \(AUTH_JWKS\)/)
    expect(() => jwt({ jwks: jwksFile([]) })).toThrow(/holds no keys/)
    const broken = join(folder, 'broken.json')
    writeFileSync(broken, '{"keys":')
    expect(() => jwt({ jwks: broken })).toThrow(/is not a JWKS/)
  })
})
