/**
 * Applies a JSON Patch (RFC 6902) without changing what it is given: what the patch does not touch is the same object
 * afterwards, so that whoever compares by identity (React) sees what has changed and nothing else.
 */

export type PatchOperation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'move' | 'copy'; readonly from: string; readonly path: string }

/** The patch does not fit the value, or is none. Nothing was changed. */
export class PatchError extends Error {
  override readonly name = 'PatchError'
}

type Container = unknown[] | Record<string, unknown>

/** @throws PatchError */
export function applyPatch(value: unknown, patch: readonly PatchOperation[]): unknown {
  const draft = new Draft(value)
  for (const operation of patch) apply(draft, operation)
  return draft.value
}

function apply(draft: Draft, operation: PatchOperation): void {
  switch (operation.op) {
    case 'add':
      draft.add(parsePointer(operation.path), given(operation))
      return
    case 'replace':
      draft.replace(parsePointer(operation.path), given(operation))
      return
    case 'remove':
      draft.remove(parsePointer(operation.path))
      return
    case 'test':
      if (!isEqual(draft.get(parsePointer(operation.path)), given(operation)))
        throw new PatchError(`test: ${operation.path} has another value`)
      return
    case 'copy':
      draft.add(parsePointer(operation.path), draft.share(parsePointer(operation.from)))
      return
    case 'move': {
      const from = parsePointer(operation.from)
      const to = parsePointer(operation.path)
      const value = draft.get(from)
      if (from.length === to.length && from.every((token, at) => to[at] === token)) return
      if (from.length < to.length && from.every((token, at) => to[at] === token))
        throw new PatchError(`move: ${operation.from} cannot go into itself`)
      draft.remove(from)
      draft.add(to, value)
      return
    }
    default:
      throw new PatchError(`there is no operation ${JSON.stringify((operation as { op: unknown }).op)}`)
  }
}

function given(operation: { readonly op: string; readonly value: unknown }): unknown {
  if (!Object.hasOwn(operation, 'value')) throw new PatchError(`${operation.op}: the value is missing`)
  return operation.value
}

/** RFC 6901. `__proto__` is refused: as a name to assign to, it would reach what all objects share. */
function parsePointer(pointer: unknown): string[] {
  if (pointer === '') return []
  if (typeof pointer !== 'string' || !pointer.startsWith('/'))
    throw new PatchError(`${JSON.stringify(pointer)} is not a path: it must be empty or begin with "/"`)
  return pointer
    .slice(1)
    .split('/')
    .map((part) => {
      if (/~(?![01])/.test(part)) throw new PatchError(`${pointer}: "~" must be written "~0"`)
      const token = part.replaceAll('~1', '/').replaceAll('~0', '~')
      if (token === '__proto__') throw new PatchError(`${pointer}: __proto__ is refused`)
      return token
    })
}

class Draft {
  value: unknown
  /** Containers made by this draft, which nobody else has yet: they are changed in place. */
  #own = new WeakSet<object>()

  constructor(value: unknown) {
    this.value = value
  }

  get(path: readonly string[]): unknown {
    let node = this.value
    for (const token of path) node = childOf(node, token)
    return node
  }

  /** The same, for a second place: neither may be changed in place any more. */
  share(path: readonly string[]): unknown {
    this.#own = new WeakSet()
    return this.get(path)
  }

  add(path: readonly string[], value: unknown): void {
    this.#change(path, value, (parent, token) => {
      if (!Array.isArray(parent)) parent[token] = value
      else parent.splice(token === '-' ? parent.length : indexIn(token, parent.length), 0, value)
    })
  }

  replace(path: readonly string[], value: unknown): void {
    this.#change(path, value, (parent, token) => {
      childOf(parent, token)
      put(parent, token, value)
    })
  }

  remove(path: readonly string[]): void {
    if (path.length === 0) throw new PatchError('remove: the whole value cannot be removed')
    this.#change(path, undefined, (parent, token) => {
      childOf(parent, token)
      if (Array.isArray(parent)) parent.splice(Number(token), 1)
      else delete parent[token]
    })
  }

  #change(path: readonly string[], whole: unknown, act: (parent: Container, token: string) => void): void {
    const last = path.at(-1)
    if (last === undefined) {
      this.value = whole
      return
    }
    let parent = this.#owned(this.value)
    this.value = parent
    for (const token of path.slice(0, -1)) {
      const child = this.#owned(childOf(parent, token))
      put(parent, token, child)
      parent = child
    }
    act(parent, last)
  }

  #owned(node: unknown): Container {
    if (typeof node !== 'object' || node === null)
      throw new PatchError('the path leads through a value without members')
    if (this.#own.has(node)) return node as Container
    const copy: Container = Array.isArray(node) ? [...(node as unknown[])] : { ...node }
    this.#own.add(copy)
    return copy
  }
}

function put(parent: Container, token: string, value: unknown): void {
  if (Array.isArray(parent)) parent[Number(token)] = value
  else parent[token] = value
}

function childOf(parent: unknown, token: string): unknown {
  if (Array.isArray(parent)) return parent[indexIn(token, parent.length - 1)] as unknown
  if (typeof parent !== 'object' || parent === null || !Object.hasOwn(parent, token))
    throw new PatchError(`there is no member ${JSON.stringify(token)}`)
  return (parent as Record<string, unknown>)[token]
}

function indexIn(token: string, last: number): number {
  const index = /^(0|[1-9][0-9]*)$/.test(token) ? Number(token) : NaN
  if (!(index <= last)) throw new PatchError(`there is no element ${JSON.stringify(token)}`)
  return index
}

function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key as keyof typeof a], b[key as keyof typeof b]))
  )
}
