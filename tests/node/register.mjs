// Lets the model's client find Nuxt's `#app`; nothing of the client itself is replaced.
import { register } from 'node:module'

const hooks = `
export async function resolve(specifier, context, next) {
  if (specifier === '#app') return { url: ${JSON.stringify(new URL('./nuxt-app.mjs', import.meta.url).href)}, shortCircuit: true }
  return next(specifier, context)
}`
register('data:text/javascript,' + encodeURIComponent(hooks))
