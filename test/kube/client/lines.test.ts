import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { lines } from '../../../src/kube/client/lines.ts'

async function read(chunks: readonly Uint8Array[], maxLength = 1000): Promise<string[]> {
  const all: string[] = []
  for await (const line of lines(
    (async function* () {
      yield* chunks
    })(),
    maxLength,
  ))
    all.push(line)
  return all
}

describe('lines', () => {
  test('come out as they were, wherever the chunks end', async () => {
    const line = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => text.trim() !== '' && !text.includes('\n'))
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.array(fc.nat({ max: 7 }), { minLength: 1 }), async (wanted, cuts) => {
        const bytes = Buffer.from(wanted.map((text) => `${text}\n`).join(''))
        const chunks: Uint8Array[] = []
        for (let from = 0, i = 0; from < bytes.length; i += 1) {
          const size = (cuts[i % cuts.length] ?? 0) + 1
          chunks.push(bytes.subarray(from, from + size))
          from += size
        }
        expect(await read(chunks)).toEqual(wanted)
      }),
    )
  })

  test('may not be endless', async () => {
    const chunk = Buffer.from('x'.repeat(400))
    await expect(read([chunk, chunk, chunk])).rejects.toMatchObject({ code: 'BadAnswer' })
    await expect(read([chunk, chunk, Buffer.from('\n'), chunk, chunk, Buffer.from('\n')])).resolves.toHaveLength(2)
  })

  test('must be whole', async () => {
    await expect(read([Buffer.from('a\nb')])).rejects.toMatchObject({ code: 'BadAnswer' })
  })
})
