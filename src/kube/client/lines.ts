import { StringDecoder } from 'node:string_decoder'
import { TransportError } from '../../base/errors.ts'

/** Cuts a byte stream into lines. A line longer than `maxLength` characters, or the end within a line, is a `TransportError` (BadAnswer). */
export async function* lines(stream: AsyncIterable<unknown>, maxLength: number): AsyncGenerator<string> {
  // Chunks end anywhere, also inside a character.
  const decoder = new StringDecoder('utf8')
  let parts: string[] = []
  let length = 0
  for await (const chunk of stream) {
    const text = decoder.write(chunk as Buffer)
    let from = 0
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', from)) {
      parts.push(text.slice(from, end))
      const line = parts.join('')
      parts = []
      length = 0
      from = end + 1
      if (line.trim() !== '') yield line
    }
    if (from === text.length) continue
    parts.push(text.slice(from))
    length += text.length - from
    if (length > maxLength) throw new TransportError('BadAnswer', `A line of the stream is longer than ${maxLength} characters`)
  }
  if (parts.join('').trim() !== '') throw new TransportError('BadAnswer', 'The stream ended within a line')
}
