/** Which routes a path leads to. */
import { routes, type Route } from './routes.ts'

export interface Found {
  /** All of this path, one for each verb. */
  readonly routes: readonly Route[]
  readonly id: string | undefined
}

const patterns = [...new Set(routes.map(({ path }) => path))].map((path) => ({
  pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace('{id}', '([^/]+)')}$`),
  routes: routes.filter((route) => route.path === path),
}))

/** @returns `null`: the path is none of ours */
export function findRoutes(path: string): Found | null {
  for (const { pattern, routes } of patterns) {
    const match = pattern.exec(path)
    if (match !== null) return { routes, id: match[1] === undefined ? undefined : decoded(match[1]) }
  }
  return null
}

/** What cannot be decoded is no id, and is refused as one. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

/** For `Allow`. */
export function allowedVerbs({ routes }: Found): string {
  return [...routes.flatMap(({ verb }) => (verb === 'GET' ? ['GET', 'HEAD'] : [verb])), 'OPTIONS'].join(', ')
}
