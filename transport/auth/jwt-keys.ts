/** The keys that tokens are checked with: a shared secret, and a JSON Web Key Set of a file or a URL. */
import { readFileSync } from 'node:fs'
import { createLocalJWKSet, createRemoteJWKSet, errors } from 'jose'
import type { CryptoKey, FlattenedJWSInput, JSONWebKeySet, JWSHeaderParameters } from 'jose'
import { TroupeError, messageOf } from '../../actors/errors.ts'

/** Finds the public key that a token names. */
export type KeySet = (header?: JWSHeaderParameters, token?: FlattenedJWSInput) => Promise<CryptoKey>

const FETCH_TIMEOUT_MS = 4000
/** Keys that were fetched longer ago are fetched again; an unknown key leads to a fetch at most this often. */
const MAX_AGE_MS = 600_000
const COOLDOWN_MS = 30_000

/** @param where path of a file, or URL. @throws Error that says what is wrong with the file or the URL */
export function openKeySet(where: string): KeySet {
  return /^https?:/.test(where) ? remoteKeySet(new URL(where)) : localKeySet(where)
}

/** Read once: new workers read it anew. */
function localKeySet(path: string): KeySet {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new Error(`the JWKS file cannot be read (AUTH_JWKS): ${messageOf(error)}`, { cause: error })
  }
  try {
    const set = JSON.parse(text) as JSONWebKeySet
    const find = createLocalJWKSet(set)
    if (set.keys.length > 0) return find
  } catch (error) {
    throw new Error(`${path} is not a JWKS, {"keys": [ … ]} (AUTH_JWKS): ${messageOf(error)}`, {
      cause: error,
    })
  }
  throw new Error(`${path} holds no keys (AUTH_JWKS)`)
}

/** Fetched when it is needed first; while its server is away the keys fetched last go on to count. */
function remoteKeySet(url: URL): KeySet {
  const remote = createRemoteJWKSet(url, {
    timeoutDuration: FETCH_TIMEOUT_MS,
    cacheMaxAge: MAX_AGE_MS,
    cooldownDuration: COOLDOWN_MS,
  })
  return async (header, token) => {
    try {
      return await remote(header, token)
    } catch (error) {
      // These say something about the token; all else, that the keys could not be had.
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
        throw error
      if (error instanceof errors.JOSENotSupported) throw error
      const kept = remote.jwks()
      if (kept !== undefined) return createLocalJWKSet(kept)(header, token)
      throw new TroupeError(
        'unavailable',
        'the keys that tokens are checked with cannot be fetched now; try again',
        { cause: error },
      )
    }
  }
}
