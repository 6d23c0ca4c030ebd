/** Fault tests run shortened in `npm test`, and at full length with `npm run chaos`. */
export function duration(shortMs: number, fullMs: number): number {
  return process.env['TROUPE_CHAOS'] === 'full' ? fullMs : shortMs
}
