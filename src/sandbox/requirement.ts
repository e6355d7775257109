/** What a label or field selector asks of one value, in the words of `NodeSelectorRequirement`. */
export interface Requirement {
  readonly operator: string
  readonly values?: readonly string[]
}

/** Whether the value of the requirement's key, undefined where there is none, meets it. An unknown operator is met by nothing. */
export function meets({ operator, values = [] }: Requirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    case 'Gt':
      return value !== undefined && Number(value) > Number(values[0])
    case 'Lt':
      return value !== undefined && Number(value) < Number(values[0])
    default:
      return false
  }
}
