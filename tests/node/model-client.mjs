// Runs the real client of nuxt-actions against the URL given, and prints what its refs hold in the end.
// A second argument is its options' and input's JSON: {"input": ..., "options": ..., "stopAfter": chunks}.
import { effectScope } from 'vue'
import { useStreamAction } from './node_modules/nuxt-actions/dist/runtime/composables/useStreamAction.js'

const [url, given] = process.argv.slice(2)
const { input, options = {}, stopAfter } = JSON.parse(given)
const called = []
const scope = effectScope()
await scope.run(async () => {
  const action = useStreamAction(url, {
    ...options,
    onChunk: (chunk) => {
      called.push(['chunk', chunk])
      if (called.length === stopAfter) action.stop()
    },
    onDone: (chunks) => called.push(['done', chunks.length]),
    onError: (error) => called.push(['error', error.code]),
  })
  await action.execute(input)
  console.log(JSON.stringify({
    status: action.status.value,
    chunks: action.chunks.value,
    data: action.data.value,
    error: action.error.value,
    called,
  }))
})
scope.stop()
