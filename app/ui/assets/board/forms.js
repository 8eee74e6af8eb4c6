// Forms of tiles and of all line charts at once: only what differs from a tile's own defaults is written.
let lists = 0
const suggested = (s, kind) => {
  const id = `known-${lists++}`
  const used = s.board.sections.flatMap(section => section.tiles).flatMap(tile => tile.metrics ?? [])
  const names = kind === "metric" || kind === "metrics" ? new Set([...s.data.metrics, ...used]) : kind === "run" ? s.data.runs : s.data.fields
  return [id, make("datalist", {id}, [...names].map(value => make("option", {value})))]
}
const chips = (s, field, value) => {
  const [id, options] = suggested(s, field.kind)
  let chosen = [...(value ?? [])]
  const entry = make("input", {type: "text", list: id, "aria-label": field.label, placeholder: "Type or choose, then Enter", autocomplete: "off"})
  const row = make("div", {class: "chips"})
  const paint = () => row.replaceChildren(...chosen.map(each => make("span", {class: "chip"}, make("span", {}, each),
    tool("close", `Remove ${each}`, () => { chosen = chosen.filter(other => other !== each); changed() }))), entry)
  const changed = () => { paint(); entry.focus(); row.dispatchEvent(new Event("change", {bubbles: true})) }
  const take = () => {
    const name = entry.value.trim()
    if (!name) return false
    entry.value = ""
    if (!chosen.includes(name)) chosen.push(name)
    changed()
    return true
  }
  entry.onkeydown = event => {
    if (event.key === "Enter" && entry.value.trim()) { event.preventDefault(); take() }
    if (event.key === "Backspace" && !entry.value && chosen.length) { chosen.pop(); changed() }
  }
  entry.oninput = event => { if (event.inputType === "insertReplacementText" || !event.inputType) take() }
  paint()
  return {node: make("div", {}, row, options), read: () => { const left = entry.value.trim(); return left && !chosen.includes(left) ? [...chosen, left] : chosen }}
}
const entered = (s, field, value) => {
  switch (field.kind) {
    case "metrics": case "fields": return chips(s, field, value)
    case "choice": {
      const node = make("select", {"aria-label": field.label}, field.of.map(([each, label]) => make("option", {value: each, selected: each === (value ?? field.of[0][0])}, label)))
      return {node, read: () => node.value}
    }
    case "check": {
      const node = make("input", {type: "checkbox", "aria-label": field.label})
      node.checked = Boolean(value)
      return {node, read: () => node.checked}
    }
    case "slider": {
      const node = make("input", {type: "range", min: 0, max: .99, step: .01, "aria-label": field.label}), said = make("output", {})
      node.value = value ?? MIDDLE
      node.oninput = () => { said.textContent = Number(node.value).toFixed(2) }
      node.oninput()
      return {node: make("div", {class: "slide"}, node, said), read: () => Number(node.value)}
    }
    case "long": {
      const node = make("textarea", {rows: 10, "aria-label": field.label, spellcheck: "true"})
      node.value = value ?? ""
      return {node, read: () => node.value}
    }
    default: {
      const [id, options] = field.kind === "text" ? [null, null] : suggested(s, field.kind)
      const node = make("input", {type: "text", list: id, "aria-label": field.label, autocomplete: "off", maxlength: field.most ?? 400})
      node.value = value ?? ""
      return {node: make("div", {}, node, options), read: () => node.value.trim()}
    }
  }
}
// `loss` alone is taken for what is known by that name.
const meant = (s, text) => isAsked(s, text) ? text : ["metrics", "params", "tags"].map(kind => `${kind}.${text}`).find(each => s.data.fields.includes(each)) ?? text
const isAsked = (s, text) => s.data.attributes.includes(text) || FIELD.test(text)
const isEmpty = value => value === "" || value === false || value === null || value === undefined || (Array.isArray(value) && !value.length)
// `done` gets what was entered once it is whole.
const form = (s, title, list, start, act, done, wrong = null) => dialog(s, title, close => {
  const inputs = list.map(field => ({field, ...entered(s, field, start[field.name])})), said = make("p", {class: "wrong", role: "alert"})
  const read = () => Object.fromEntries(inputs.map(({field, read}) => [field.name, field.kind === "fields" ? read().map(each => meant(s, each)) : field.kind === "field" ? meant(s, read()) : read()]))
  const rows = inputs.map(({field, node}) => make("div", {class: `row ${field.kind}`}, make("span", {class: "label"}, field.label), node))
  const paint = () => { const now = read(); inputs.forEach(({field}, at) => { rows[at].hidden = Boolean(field.when && !field.when(now)) }) }
  const body = make("form", {onsubmit: event => {
    event.preventDefault()
    const now = read(), lacking = list.find(field => field.needed && isEmpty(now[field.name]) && (!field.when || field.when(now)))
    const few = list.find(field => field.least && now[field.name].length < field.least)
    const odd = list.filter(field => ["field", "fields"].includes(field.kind)).flatMap(field => now[field.name]).find(each => each && !isAsked(s, each))
    said.textContent = lacking ? `${lacking.label} is needed.` : odd ? `'${odd}' is nothing that a run has. Write metrics.NAME, params.NAME, tags.NAME or one of: ${s.data.attributes.join(", ")}.` : few ? `${few.label}: at least ${few.least} are needed.` : wrong?.(now) ?? ""
    if (said.textContent) return
    for (const field of list) if (field.when && !field.when(now)) delete now[field.name]
    close()
    done(now)
  }}, rows, said, make("footer", {}, button("Cancel", close), make("button", {type: "submit", class: "button primary"}, act)))
  body.addEventListener("change", paint)
  paint()
  queueMicrotask(() => body.querySelector("input,select,textarea")?.focus())
  return [body]
})
const unfit = type => type === "table" ? now => Boolean(now.path) === now.fields.length > 0 ? "Give either the path of a logged table or columns of the runs." : "" : null
const TITLE = {name: "title", label: "Title", kind: "text", most: 200}
const fieldsOf = type => [...TYPES[type][2], TITLE]
const filled = (tile, now, list) => {
  const next = {...tile}
  for (const field of list) {
    delete next[field.name]
    if (!isEmpty(now[field.name])) next[field.name] = now[field.name]
  }
  return next
}
const added = (s, section, type) => form(s, `Add ${TYPES[type][0].toLowerCase()}`, fieldsOf(type), {}, "Add", now => {
  const tile = filled({id: fresh(), type, width: type === "markdown" || type === "parallel" || type === "compare" ? 12 : 6, height: 300}, now, fieldsOf(type))
  change(s, sectioned(s.board, section, each => ({...each, collapsed: false, tiles: [...each.tiles, tile]})))
  s.views.get(tile.id)?.node.scrollIntoView({block: "nearest", behavior: "smooth"})
}, unfit(type))
const doubled = (s, tile) => {
  const {section, place} = placed(s.board, tile.id)
  change(s, sectioned(s.board, section, each => ({...each, tiles: [...each.tiles.slice(0, place + 1), {...tile, id: fresh()}, ...each.tiles.slice(place + 1)]})))
}
const edited = (s, tile) => form(s, `Edit ${TYPES[tile.type][0].toLowerCase()}`, fieldsOf(tile.type), tile, "Save",
  now => change(s, tiled(s.board, tile.id, each => filled(each, now, fieldsOf(tile.type)))), unfit(tile.type))
const ALL = ["x", "smoothing", "weight", "ignore_outliers"].map(name => TYPES.line[2].find(field => field.name === name))
  .map(field => field.name === "x" ? {...field, of: AXES.slice(0, 3)} : field)
const everywhere = s => {
  const first = s.board.sections.flatMap(section => section.tiles).find(tile => tile.type === "line") ?? {}
  form(s, "All line charts", ALL, first, "Apply to all", now => change(s, {...s.board, sections: s.board.sections.map(section => ({...section,
    tiles: section.tiles.map(tile => tile.type === "line" ? filled(tile.x === "metric" ? (({x_metric, ...rest}) => rest)(tile) : tile, now, ALL) : tile)}))}))
}
