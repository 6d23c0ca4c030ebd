import { build } from 'esbuild'
import { describe, expect, it } from 'vitest'

describe('the client in a page', () => {
  it('brings nothing along but itself', async () => {
    const { metafile, outputFiles } = await build({
      entryPoints: ['transport/client/index.ts'],
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      write: false,
      metafile: true,
    })
    const foreign = Object.keys(metafile.inputs).filter(
      (file) => !file.startsWith('transport/client/') && file !== 'actors/session.ts',
    )
    expect(foreign).toEqual([])
    expect(outputFiles[0]?.contents.length).toBeLessThan(26_000)
  })
})
