// A list: real links, sort and pages in the address, rows to tick. All text is put in as text, never as HTML.
const held = new WeakMap()
const size = bytes => {
  for (const unit of ["B", "kB", "MB", "GB"]) { if (bytes < 1000) return unit === "B" ? `${bytes} B` : `${bytes.toFixed(1)} ${unit}`; bytes /= 1000 }
  return `${bytes.toFixed(1)} TB`
}
const painted = color => /^#[0-9a-f]{6}$/i.test(color) ? make("i", {class: "dot run", style: `--tone:${color}`}) : null
const cells = {
  text: value => [value],
  muted: value => [value],
  code: value => [value],
  link: value => [painted(value.color), make("a", {href: value.href, title: value.text}, value.text), value.sub ? make("small", {}, value.sub) : null],
  status: value => [make("span", {class: "status", "data-status": value.status}, make("i", {class: "dot", "data-tone": value.tone, "data-moving": value.moving}), value.label)],
  time: value => [make("time", {datetime: value, title: new Date(value).toLocaleString()}, ago(Date.parse(value)))],
  duration: value => value.since ? [make("span", {"data-since": value.since}, spoken((Date.now() - Date.parse(value.since)) / 1000))] : [spoken(value.seconds)],
  num: value => [typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value)],
  size: value => [size(value)],
  shares: value => [make("span", {class: "share", title: value.parts.map(part => `${part.name} ${part.percent} %`).join(", ")},
    value.parts.length ? make("span", {class: "bar"}, ...value.parts.map(part => make("i", {"data-tone": part.tone, style: {width: `${part.percent}%`}}))) : null,
    make("span", {}, value.parts.map(part => value.parts.length === 1 ? part.name : `${part.name} ${part.percent}`).join(" · ")), value.note ? make("small", {}, value.note) : null)],
  tags: value => value.map(text => make("span", {class: "tag", title: text}, text)),
}
const cell = (column, value) => {
  const td = make("td", {class: column.kind})
  if (value === null || value === undefined || value === "") return td
  td.append(...cells[column.kind](value).filter(part => part !== null))
  if (typeof value === "string") td.title = value
  return td
}
const head = column => {
  const th = make("th", {class: column.kind, scope: "col", "aria-sort": column.sorted === "desc" ? "descending" : column.sorted ? "ascending" : null})
  th.append(column.href ? make("a", {href: column.href}, column.label, column.sorted ? make("span", {}, column.sorted === "desc" ? "↓" : "↑") : null) : column.label)
  return th
}
export default function ({data, parentElement, setStateValue}) {
  const wrap = parentElement.querySelector(".wrap")
  let state = held.get(parentElement)
  if (!state) { state = {picked: new Set(), last: -1}; held.set(parentElement, state) }
  if (state.reset !== data.reset) { state.picked = new Set(data.picked ?? []); state.reset = data.reset }
  const ids = data.rows.map(row => row.id)
  for (const id of [...state.picked]) if (!ids.includes(id)) state.picked.delete(id)
  const tell = () => setStateValue("picked", [...state.picked])
  const paint = () => {
    wrap.querySelectorAll("tbody tr").forEach(tr => {
      const on = state.picked.has(tr.dataset.id)
      tr.setAttribute("aria-selected", on); const box = tr.querySelector("input"); if (box) box.checked = on
    })
    const all = wrap.querySelector("thead input")
    if (all) { all.checked = ids.length > 0 && state.picked.size === ids.length; all.indeterminate = state.picked.size > 0 && !all.checked }
  }
  const all = make("input", {type: "checkbox", "aria-label": "Select all rows"})
  all.onchange = () => { state.picked = new Set(all.checked ? ids : []); paint(); tell() }
  const body = make("tbody")
  data.rows.forEach((row, place) => {
    const tr = make("tr", {"data-id": row.id, "data-href": row.href})
    if (data.selectable) {
      const box = make("input", {type: "checkbox", "aria-label": `Select ${row.id}`})
      box.onclick = event => {
        const [from, to] = event.shiftKey && state.last >= 0 ? [Math.min(state.last, place), Math.max(state.last, place)] : [place, place]
        for (let at = from; at <= to; at++) box.checked ? state.picked.add(ids[at]) : state.picked.delete(ids[at])
        state.last = place; paint(); tell()
      }
      tr.append(make("td", {class: "pick"}, box))
    }
    data.columns.forEach((column, at) => tr.append(cell(column, row.cells[at])))
    tr.onclick = event => { if (!event.target.closest("a,input") && !String(getSelection())) tr.querySelector("td a")?.click() }
    body.append(tr)
  })
  const top = make("tr", {}, ...(data.selectable ? [make("th", {class: "pick"}, all)] : []), ...data.columns.map(head))
  const parts = [make("div", {class: "box"}, make("table", {"aria-label": data.label}, make("thead", {}, top), body))]
  if (data.foot) {
    const foot = make("footer", {}, make("span", {}, data.foot))
    if (data.earlier || data.later) for (const [text, href] of [["Previous", data.earlier], ["Next", data.later]])
      foot.append(make("a", {href: href, "aria-disabled": href ? null : "true"}, text))
    parts.push(foot)
  }
  wrap.replaceChildren(...parts)
  paint()
  clearInterval(state.timer)
  state.timer = setInterval(() => {
    wrap.querySelectorAll("time").forEach(node => { node.textContent = ago(Date.parse(node.dateTime)) })
    wrap.querySelectorAll("[data-since]").forEach(node => { node.textContent = spoken((Date.now() - Date.parse(node.dataset.since)) / 1000) })
  }, 1000)
  return () => { clearInterval(held.get(parentElement)?.timer); held.delete(parentElement) }
}
