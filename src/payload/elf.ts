/** For which machines a program is built. */

const MACHINES: Readonly<Record<number, string>> = { 3: '386', 22: 's390x', 40: 'arm', 62: 'amd64', 183: 'arm64', 243: 'riscv64' }

/** As Go names it; undefined when the bytes are not the beginning of a program. */
export function architectureOf(head: Uint8Array | undefined): string | undefined {
  if (head === undefined || head.length < 20 || head[0] !== 0x7f || head[1] !== 0x45 || head[2] !== 0x4c || head[3] !== 0x46)
    return undefined
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  const machine = view.getUint16(18, head[5] !== 2)
  return MACHINES[machine] ?? `machine ${machine}`
}
