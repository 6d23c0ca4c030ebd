import { z } from 'zod'

/** One option: how its text is read, and what the reference says about it. */
export interface Option<T> {
  /** From text (a flag, an environment variable) or from a value of the type itself. */
  readonly schema: z.ZodType<T>
  readonly default: T
  /** The default in words, where its value would say less. */
  readonly defaultText?: string
  readonly unit?: string
  /** What may be given, to follow "must be". */
  readonly allowed: string
  readonly description: string
  /** The value may hold a password: error messages do not repeat it. */
  readonly secret?: boolean
}

type About<T> = Pick<Option<T>, 'default' | 'defaultText' | 'unit' | 'description' | 'secret'>

export function integer(about: About<number> & { min: number; max: number }): Option<number> {
  const { min, max, ...rest } = about
  const schema = z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)])
  return {
    ...rest,
    schema: schema.pipe(z.number().int().min(min).max(max)),
    allowed: `a whole number from ${String(min)} to ${String(max)}`,
  }
}

export function text(about: About<string> & { pattern: RegExp; allowed: string }): Option<string> {
  const { pattern, ...rest } = about
  return { ...rest, schema: z.string().regex(pattern) }
}

export function choice<const T extends string>(
  values: readonly [T, ...T[]],
  about: About<NoInfer<T>>,
): Option<T> {
  return { ...about, schema: z.enum(values), allowed: `one of ${values.join(', ')}` }
}

export function flag(about: About<boolean>): Option<boolean> {
  const fromText = z.enum(['true', 'false']).transform((value) => value === 'true')
  return { ...about, schema: z.union([z.boolean(), fromText]), allowed: 'true or false' }
}

/** The address of a server; `null`: none was given. */
export function serverUrl(
  protocols: readonly string[],
  about: Omit<About<string | null>, 'default' | 'secret'>,
): Option<string | null> {
  const hasHost = (value: string) => {
    if (!URL.canParse(value)) return false
    const { protocol, hostname } = new URL(value)
    return protocols.includes(protocol.slice(0, -1)) && hostname !== ''
  }
  return {
    ...about,
    default: null,
    secret: true,
    schema: z.union([z.null(), z.string().refine(hasHost)]),
    allowed: `a URL that begins with ${protocols.map((name) => `${name}://`).join(' or ')} and names a host`,
  }
}

/** Web origins, separated by commas. */
export function originList(about: About<readonly string[]>): Option<readonly string[]> {
  const isOrigin = (value: string) => URL.canParse(value) && new URL(value).origin === value
  const list = z.array(z.string().refine(isOrigin))
  const fromText = z
    .string()
    .transform((value) => value.split(',').map((part) => part.trim().replace(/\/$/, '')))
  return {
    ...about,
    schema: z.union([list, fromText.pipe(list)]),
    allowed: 'origins such as https://example.org, separated by commas',
  }
}

/** Text that may be left out; `null`: it was. */
export function optionalText(
  about: Omit<About<string | null>, 'default'> & { fits: (value: string) => boolean; allowed: string },
): Option<string | null> {
  const { fits, ...rest } = about
  return { defaultText: 'none', ...rest, default: null, schema: z.union([z.null(), z.string().refine(fits)]) }
}

/** Texts, separated by commas. */
export function textList(
  about: About<readonly string[]> & { fits: (value: string) => boolean; allowed: string },
): Option<readonly string[]> {
  const { fits, ...rest } = about
  const list = z.array(z.string().refine(fits))
  const fromText = z.string().transform((value) => value.split(',').map((part) => part.trim()))
  return { ...rest, schema: z.union([list, fromText.pipe(list)]) }
}
