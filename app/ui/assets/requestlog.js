// The request log as it grows: rows come by server-sent events, and are left out by the same rules as on the server.
const MOST = 500
const open = new WeakMap()
const COLUMNS = [["TimeGenerated", "time"], ["Method", ""], ["Path", "path"], ["DeploymentName", "name"], ["ResponseCode", "code"], ["ResponseCodeReason", "muted"], ["ModelStatusCode", "num"], ["TotalDurationMs", "num"], ["RequestDurationMs", "num"], ["ResponseDurationMs", "num"], ["RequestThrottlingDelayMs", "num"], ["RequestPayloadSize", "num"], ["ResponsePayloadSize", "num"], ["Kind", "muted"], ["UserAgent", "muted"], ["XRequestId", "mono"], ["XMSClientRequestId", "mono"]]
const SEARCHED = ["Path", "ResponseCodeReason", "ModelStatusReason", "UserAgent", "XRequestId", "XMSClientRequestId"]
const two = number => String(number).padStart(2, "0")
const clock = text => { const at = new Date(text); return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}` }
const day = text => { const at = new Date(text); return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(text)}` }
const tone = code => code < 400 ? "green" : code === 499 ? "gray" : code < 500 && ![408, 424, 429].includes(code) ? "orange" : "red"
const isToday = text => new Date(text).toDateString() === new Date().toDateString()
const shownAs = (column, value) => {
  if (value === null || value === undefined || value === "") return ""
  if (column === "TimeGenerated") return isToday(value) ? clock(value) : day(value)
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value)
}
const wanted = (row, {deployment, codes, search}) =>
  (!deployment || row.DeploymentName === deployment) &&
  (!codes.length || codes.some(code => code.endsWith("xx") ? Math.floor(row.ResponseCode / 100) === Number(code[0]) : row.ResponseCode === Number(code))) &&
  (!search || SEARCHED.some(column => String(row[column] ?? "").toLowerCase().includes(search.toLowerCase())))

const line = (s, row) => {
  const tr = make("tr", {"data-id": row.Id, tabindex: "0"})
  for (const [column, kind] of COLUMNS) {
    const text = shownAs(column, row[column])
    const td = make("td", {class: kind, title: column === "TimeGenerated" ? day(row[column]) : text})
    if (column === "ResponseCode") td.append(make("span", {class: "answer", "data-tone": tone(row.ResponseCode)}, text))
    else td.append(text)
    tr.append(td)
  }
  const toggle = () => { s.opened = s.opened === row.Id ? null : row.Id; detail(s, row) }
  tr.onclick = () => { if (!String(getSelection())) toggle() }
  tr.onkeydown = event => { if (event.key === "Enter") toggle() }
  return tr
}
const detail = (s, row) => {
  s.body.querySelector("tr.detail")?.remove()
  for (const tr of s.body.querySelectorAll("tr[data-open]")) tr.removeAttribute("data-open")
  if (s.opened !== row.Id) return
  const tr = s.body.querySelector(`tr[data-id="${Number(row.Id)}"]`)
  tr.setAttribute("data-open", "")
  const pairs = Object.entries(row).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, name === "TimeGenerated" ? String(value) : shownAs(name, value) || "–")))
  tr.after(make("tr", {class: "detail"}, make("td", {colspan: COLUMNS.length}, make("dl", {style: {"--width": `${s.box.clientWidth}px`}}, ...pairs))))
}
const say = (s, text, on) => { s.state.lastChild.textContent = text; s.state.toggleAttribute("data-live", on) }
const tally = s => {
  const count = s.body.querySelectorAll("tr[data-id]").length
  s.foot.textContent = count ? `${count} request${count === 1 ? "" : "s"}${s.missed ? `, ${s.missed} more came too fast to be shown` : ""}` : ""
  s.none.hidden = count > 0
  s.box.hidden = count === 0
}
const add = (s, told) => {
  const fresh = told.rows.filter(row => wanted(row, s.filter) && !s.known.has(row.Id))
  if (told.is_cut) s.missed += 1
  for (const row of fresh) { s.known.add(row.Id); const tr = line(s, row); tr.setAttribute("data-new", ""); s.body.prepend(tr) }
  const rows = [...s.body.querySelectorAll("tr[data-id]")]
  for (const tr of rows.slice(MOST)) { if (tr.nextElementSibling?.matches(".detail")) tr.nextElementSibling.remove(); s.known.delete(Number(tr.dataset.id)); tr.remove() }
  tally(s)
}
const hold = s => { s.isHeld = !s.isHeld; s.pause.setAttribute("aria-pressed", s.isHeld); s.pause.textContent = s.isHeld ? "Go on" : "Pause"; if (!s.isHeld) { for (const told of s.waiting.splice(0)) add(s, told); say(s, "live", true) } else say(s, "paused", false) }
const begin = (root, data) => {
  const s = {key: data.key, filter: data.filter, known: new Set(), missed: 0, opened: null, isHeld: false, waiting: []}
  s.state = make("span", {class: "state"}, make("i", {class: "light"}), make("span", {}, ""))
  s.pause = make("button", {type: "button", "aria-pressed": "false", hidden: !data.url, onclick: () => hold(s)}, "Pause")
  s.body = make("tbody")
  s.box = make("div", {class: "box"}, make("table", {"aria-label": "Request log"}, make("thead", {}, make("tr", {}, ...COLUMNS.map(([name, kind]) => make("th", {class: kind === "num" ? kind : null, scope: "col"}, name)))), s.body))
  s.none = make("p", {class: "none"}, data.nothing)
  s.foot = make("span", {class: "count"})
  const link = (text, href) => href ? make("a", {href}, text) : null
  root.replaceChildren(make("header", {}, s.state, s.pause, make("span", {class: "gap"}), link("CSV", data.csv)), s.box, s.none,
    make("footer", {}, s.foot, link("Newest", data.newest), link("Older", data.older)))
  root.querySelector("header a")?.setAttribute("download", "requests.csv")
  for (const row of data.rows) { s.known.add(row.Id); s.body.append(line(s, row)) }
  tally(s)
  say(s, data.url ? "connecting" : data.state, false)
  if (data.url) {
    s.source = new EventSource(data.url)
    s.source.onopen = () => { if (!s.isHeld) say(s, "live", true) }
    s.source.onmessage = event => { const told = JSON.parse(event.data); if (s.isHeld) { s.waiting.push(told); s.waiting.splice(0, s.waiting.length - 20) } else add(s, told) }
    s.source.addEventListener("gone", event => { s.source.close(); say(s, JSON.parse(event.data), false) })
    s.source.onerror = () => say(s, s.source.readyState === EventSource.CLOSED ? "not available" : "reconnecting", false)
  }
  return s
}
export default function ({data, parentElement}) {
  const root = parentElement.querySelector(".requests")
  let s = open.get(parentElement)
  if (s && s.key !== data.key) { s.source?.close(); s = null }
  if (!s) { s = begin(root, data); open.set(parentElement, s) }
  return () => { open.get(parentElement)?.source?.close(); open.delete(parentElement) }
}
