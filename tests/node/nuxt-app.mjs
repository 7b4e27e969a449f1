// What the model's client asks of Nuxt, outside a Nuxt app.
export const useNuxtApp = () => ({})
export const useRequestURL = () => new URL('http://localhost/')
