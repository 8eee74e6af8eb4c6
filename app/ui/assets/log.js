// A log that is read while it is written: server-sent events, text nodes only, a bounded number of lines.
const MOST = 8000
const live = new WeakMap()
const SGR = /\u001b\[([0-9;]*)m/g
const OTHER = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])|[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f]/g
const keepColours = text => text.replace(OTHER, code => /^\u001b\[[0-9;]*m$/.test(code) ? code : "")

function painted(s, text) {
  const line = document.createElement("span")
  const shown = text.slice(text.lastIndexOf("\r", text.length - 2) + 1).replace(/\r$/, "").slice(0, 20000)
  let at = 0
  const put = until => {
    if (until <= at) return
    const piece = shown.slice(at, until).replaceAll("\u001b", "")
    if (!s.style.size) line.append(piece)
    else { const span = document.createElement("span"); span.className = [...s.style].join(" "); span.append(piece); line.append(span) }
  }
  for (const found of shown.matchAll(SGR)) {
    put(found.index); at = found.index + found[0].length
    for (const code of (found[1] || "0").split(";").map(Number)) {
      if (code === 0) s.style.clear()
      else if (code === 1) s.style.add("bold")
      else if (code === 2) s.style.add("dim")
      else if (code === 22) { s.style.delete("bold"); s.style.delete("dim") }
      else if ((code >= 30 && code <= 39) || (code >= 90 && code <= 97)) {
        for (const name of [...s.style]) if (/^c\d/.test(name)) s.style.delete(name)
        if (code !== 39) s.style.add(`c${code >= 90 ? code - 82 : code - 30}`)
      }
    }
  }
  put(shown.length)
  return line
}

function add(s, text) {
  const lines = (s.rest + keepColours(text)).split("\n")
  s.rest = lines.pop()
  if (s.rest.length > 1 << 20) { lines.push(s.rest); s.rest = "" }
  const fresh = document.createDocumentFragment()
  for (const line of lines.slice(-MOST)) {
    const div = document.createElement("div")
    div.dataset.n = ++s.count
    div.append(painted(s, line))
    if (s.word && div.textContent.toLowerCase().includes(s.word)) div.className = "hit"
    fresh.append(div)
  }
  if (lines.length > MOST) s.count += lines.length - MOST
  s.pre.querySelector("p")?.remove()
  s.pre.append(fresh)
  while (s.pre.childElementCount > MOST) s.pre.firstElementChild.remove()
  if (s.follow) s.pre.scrollTop = s.pre.scrollHeight
  if (s.word) tally(s)
}

function finish(s) { if (s.rest) add(s, "\n") }
function tally(s) { s.hits.textContent = s.word ? `${s.pre.querySelectorAll(".hit").length} lines` : "" }
function say(s, text, on) { s.state.lastChild.textContent = text; on ? s.state.setAttribute("data-live", "") : s.state.removeAttribute("data-live") }
function press(button, on) { button.setAttribute("aria-pressed", on) }

function search(s, word) {
  s.word = word.toLowerCase()
  for (const div of s.pre.querySelectorAll("div")) div.className = s.word && div.textContent.toLowerCase().includes(s.word) ? "hit" : ""
  tally(s)
}
function next(s) {
  const hits = [...s.pre.querySelectorAll(".hit")]
  if (!hits.length) return
  const here = hits.findIndex(div => div.classList.contains("at"))
  hits[here]?.classList.remove("at")
  const to = hits[(here + 1) % hits.length]
  to.classList.add("at"); setFollow(s, false); to.scrollIntoView({block: "center"})
}
function setFollow(s, on) { s.follow = on; press(s.followButton, on); if (on) s.pre.scrollTop = s.pre.scrollHeight }

function open(s, url) {
  s.source = new EventSource(url)
  s.source.onopen = () => say(s, "live", true)
  s.source.onmessage = event => add(s, JSON.parse(event.data))
  s.source.addEventListener("end", () => { s.source.close(); finish(s); say(s, "complete", false); if (!s.count) empty(s, "This log is empty.") })
  s.source.onerror = () => say(s, s.source.readyState === EventSource.CLOSED ? "not available" : "reconnecting", false)
}
function empty(s, text) { const p = document.createElement("p"); p.textContent = text; s.pre.replaceChildren(p) }

function begin(root, data) {
  const one = name => root.querySelector(name)
  const s = {key: data.key, pre: one("pre"), state: one(".state"), hits: one(".hits"), followButton: one(".follow"), follow: true, count: 0, rest: "", word: "", style: new Set(), text: ""}
  one("b").textContent = data.title
  const download = one("a")
  download.hidden = !data.download
  if (data.download) { download.href = data.download; download.setAttribute("download", "") }
  s.pre.style.setProperty("--height", `${data.height}px`)
  empty(s, data.waiting)
  one("input").value = ""
  one("input").oninput = event => search(s, event.target.value)
  one("input").onkeydown = event => { if (event.key === "Enter") next(s) }
  one(".wrap").onclick = event => { press(event.currentTarget, s.pre.toggleAttribute("data-wrap")) }
  s.followButton.onclick = () => setFollow(s, !s.follow)
  s.pre.onscroll = () => {
    const bottom = s.pre.scrollHeight - s.pre.scrollTop - s.pre.clientHeight < 24
    if (bottom !== s.follow) { s.follow = bottom; press(s.followButton, bottom) }
  }
  press(s.followButton, true)
  if (data.url) { say(s, "connecting", false); open(s, data.url) }
  return s
}

export default function ({data, parentElement}) {
  let s = live.get(parentElement)
  if (s && s.key !== data.key) { s.source?.close(); live.delete(parentElement); s = null }
  if (!s) { s = begin(parentElement, data); live.set(parentElement, s) }
  if (!data.url && data.text !== s.text) {
    const grown = data.text.startsWith(s.text)
    if (!grown) { s.pre.replaceChildren(); s.count = 0; s.rest = "" }
    add(s, grown ? data.text.slice(s.text.length) : data.text)
    s.text = data.text
  }
  if (!data.url) { say(s, data.live ? "live" : "complete", data.live); if (!data.live) finish(s) }
  return () => { live.get(parentElement)?.source?.close(); live.delete(parentElement) }
}
