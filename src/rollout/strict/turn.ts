/**
 * SUC's test whether a node is in `applying` (contract, correction 15): a binary search for the node's name among hostnames that are in the
 * order of their nodes' names. Where hostname and name differ it misses, and SUC takes the node's Job for one out of turn.
 */
export function isInTurn(applying: readonly string[], nodeName: string): boolean {
  let [low, high] = [0, applying.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((applying[middle] ?? '') < nodeName) low = middle + 1
    else high = middle
  }
  return applying[low] === nodeName
}
