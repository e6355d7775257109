/** For which attempt this pod runs, from the pod info that every upgrade pod has mounted. */
import { ANNOTATION_ATTEMPT } from '../api/names.ts'
import { parseAttemptMark } from '../rollout/attempt.ts'
import type { ReadFiles } from './host.ts'

export interface PodAttempt {
  /** What somebody asked for: the Plan with its retry value or, without Drover's mark, the Job. Empty where neither is known. */
  readonly key: string
  /** Counts within the key. */
  readonly count: number
  /** Drover made this pod. */
  readonly marked: boolean
}

export function readAttempt(image: ReadFiles, folder: string): PodAttempt {
  const mark = parseAttemptMark(entries(image.text(`${folder}/annotations`))[ANNOTATION_ATTEMPT])
  if (mark !== undefined) return { key: `${mark.planUID}/${mark.retry}`, count: mark.attempt, marked: true }
  const labels = entries(image.text(`${folder}/labels`))
  const job = labels['batch.kubernetes.io/controller-uid'] ?? labels['controller-uid']
  return { key: job === undefined ? '' : `job:${job}`, count: 1, marked: false }
}

/** Lines of `key="value"`, with the value quoted as Go does it. */
function entries(text: string | undefined): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const line of (text ?? '').split('\n')) {
    const match = /^([^=]+)=(".*")$/.exec(line)
    if (match === null) continue
    try {
      found[match[1] ?? ''] = String(JSON.parse(match[2] ?? '""'))
    } catch {
      // A value that Go escapes otherwise than JSON, such as one with control characters: none of ours.
    }
  }
  return found
}
