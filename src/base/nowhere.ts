import { TransportError } from './errors.ts'
import type { Outside } from './process.ts'

const noAnswer = () => Promise.reject(new TransportError('ConnectionFailed', 'there is nothing outside'))

/** Where nothing answers: what a process has that is given no outside. */
export const nowhere: Outside = { get: noAnswer, post: noAnswer }
