// Answers for tiles: only for those in sight, few at once, given up when they leave, kept until something changes.
const AT_ONCE = 4
const KEPT = 80
const asked = (s, tile) => JSON.stringify({tile, runs: s.data.runs})
// What is left unsaid and what is said as it is by default ask for the same; so do two sizes of a tile.
const keyOf = (s, tile) => JSON.stringify([s.data.version, s.data.runs, tile.type, ...TYPES[tile.type][2].map(field => {
  const value = tile[field.name]
  return isEmpty(value) || value === (field.kind === "choice" ? field.of[0][0] : field.kind === "slider" ? MIDDLE : undefined) ? null : value
})])
const want = (s, view, {again = false} = {}) => {
  if (!view.isSeen || view.tile.type === "markdown") return
  const key = keyOf(s, view.tile)
  if (view.running?.key === key || (!again && (view.key === key || view.failed === key))) return
  stopped(view)
  const kept = s.answers.get(key)
  if (kept && !again) { view.tag = null; return shown(s, view, key, kept) }
  view.wants = {key, again}
  if (!s.queue.includes(view)) s.queue.push(view)
  if (!view.answer && view.failed !== key) waiting(view)
  if (!again) view.node.dataset.busy = ""
  next(s)
}
const stopped = view => {
  view.running?.stop.abort()
  view.running = null
  delete view.node.dataset.busy
}
const left = (s, view) => {
  s.queue = s.queue.filter(each => each !== view)
  stopped(view)
}
const next = s => {
  while (s.running < AT_ONCE && s.queue.length) fetched(s, s.queue.shift())
}
const fetched = async (s, view) => {
  const {key, again} = view.wants, stop = new AbortController()
  view.running = {key, stop}
  s.running++
  try {
    const known = again && view.key === key && view.tag
    const answer = await fetch(`/files/tiles/${encodeURIComponent(s.data.ws)}`, {
      method: "POST", credentials: "same-origin", signal: stop.signal, headers: {"Content-Type": "application/json", ...known && {"If-None-Match": known}}, body: asked(s, view.tile)})
    const text = await answer.text()
    if (stop.signal.aborted || answer.status === 304) return
    if (!answer.ok) throw new Error(reason(answer, text))
    s.answers.delete(key)
    s.answers.set(key, text)
    if (s.answers.size > KEPT) s.answers.delete(s.answers.keys().next().value)
    view.tag = answer.headers.get("ETag")
    if (!(again && view.answer && view.text === text)) await shown(s, view, key, text)
  } catch (error) {
    if (stop.signal.aborted) return
    if (!(again && view.answer)) failed(s, view, key, error instanceof TypeError ? "The studio did not answer." : error.message)
  } finally {
    s.running--
    if (view.running?.stop === stop) stopped(view)
    next(s)
  }
}
const reason = (answer, text) => {
  if (answer.status === 401) return "You are signed out. Sign in again, then come back."
  try {
    const {error} = JSON.parse(text)
    return [error.message, error.hint].filter(Boolean).join(" ")
  } catch { return `The studio answered ${answer.status}.` }
}
const shown = async (s, view, key, text) => {
  Object.assign(view, {key, text, failed: null, answer: JSON.parse(text)})
  delete view.node.dataset.busy
  try { await paint(s, view) } catch (error) { failed(s, view, key, `This could not be drawn: ${error.message}`) }
}
const waiting = view => {
  clear(view)
  view.body.replaceChildren(make("div", {class: "skeleton", role: "status", "aria-label": "Loading"}, make("i"), make("i"), make("i"), make("i")))
}
const failed = (s, view, key, message) => {
  clear(view)
  Object.assign(view, {key: null, answer: null, failed: key})
  view.body.replaceChildren(make("div", {class: "said", role: "alert"}, glyph("error"), make("p", {}, message),
    button("Try again", () => { view.failed = null; want(s, view, {again: true}) })))
}
const empty = (view, note) => view.body.replaceChildren(make("div", {class: "said"}, glyph("query_stats"), make("p", {}, note || "Nothing was logged for this yet.")))
const POLLED = 3000
// These show one point a run, or take the studio long: they are asked for every fifth time only.
const SELDOM = new Set(["bar", "scatter", "parallel", "importance", "contour", "box", "table", "compare"])
const polling = s => {
  clearInterval(s.timer)
  let turn = 0
  s.timer = s.data.live ? setInterval(() => {
    if (document.hidden) return
    turn++
    for (const view of s.views.values()) if (!SELDOM.has(view.tile.type) || turn % 5 === 0) want(s, view, {again: true})
  }, POLLED) : null
}
