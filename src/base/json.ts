/** JSON as the API server sends it. Integers beyond 2^53 are bigint, so that none is rounded on its way. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | { readonly [key: string]: Json | undefined }
export type JsonObject = { readonly [key: string]: Json | undefined }
