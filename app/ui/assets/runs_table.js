// Runs as a dense table: sorting and pages are addresses; what is changed here is told. Text goes in as text, never as HTML.
const held = new WeakMap()
const icon = (name, cls = "") => make("i", {class: `icon ${cls}`, "aria-hidden": "true"}, name)
const go = href => { history.pushState({}, "", href); window.dispatchEvent(new PopStateEvent("popstate")) }
const painted = color => /^#[0-9a-f]{6}$/i.test(color ?? "") ? color : "#8c8c97"
const short = (value, digits) => typeof value === "number" ? String(Number(value.toPrecision(digits))) : String(value)
const cells = {
  text: value => [value],
  muted: value => [value],
  code: value => [value],
  link: value => [make("a", {href: value.href, title: value.text}, value.text)],
  num: value => [typeof value === "number" ? String(Number(value.toPrecision(6))) : value],
  status: value => [make("span", {class: "status", "data-status": value.status}, make("i", {class: "dot", "data-tone": value.tone, "data-moving": value.moving}), value.label)],
  time: value => [make("time", {datetime: value, title: new Date(value).toLocaleString()}, ago(Date.parse(value)))],
  duration: value => value.since ? [make("span", {"data-since": value.since}, spoken((Date.now() - Date.parse(value.since)) / 1000))] : [spoken(value.seconds)],
  tag: value => [make("span", {class: "tag", title: value}, value)],
  spread: value => [make("span", {class: "spread", title: `mean ${value.mean}${value.std === null ? "" : ` ± ${value.std}`} over ${value.n}`},
    make("b", {}, short(value.mean, 4)), value.std === null ? null : ` ± ${short(value.std, 2)}`), value.best === null ? null : make("small", {title: `best ${value.best}`}, short(value.best, 4))],
}
const NUMBERS = new Set(["num", "duration", "spread"])

export default function draw(given) {
  const {data, parentElement, setStateValue, setTriggerValue} = given
  const wrap = parentElement.querySelector(".wrap")
  const leave = () => { clearInterval(held.get(parentElement)?.timer); held.delete(parentElement) }
  let state = held.get(parentElement)
  if (!state) { state = {picked: new Set(), last: -1, turn: 0}; held.set(parentElement, state) }
  state.later = null
  if (wrap.querySelector(".menu:popover-open")) { state.later = given; return leave }  // not under somebody's hand
  if (state.reset !== data.reset) { state.picked = new Set(data.picked ?? []); state.reset = data.reset }
  const ids = data.rows.map(row => row.id)
  for (const id of [...state.picked]) if (!ids.includes(id)) state.picked.delete(id)
  const act = (what, more = {}) => setTriggerValue("act", {do: what, turn: ++state.turn, ...more})
  const tell = () => setStateValue("picked", [...state.picked])

  const menu = make("div", {class: "menu", popover: "auto", role: "menu"})
  let opener = null
  const open = (from, ...children) => {
    if (opener === from && menu.matches(":popover-open")) { menu.hidePopover(); return }
    menu.replaceChildren(...children.filter(Boolean)); opener = from
    const at = from.getBoundingClientRect()
    menu.showPopover()
    const own = menu.getBoundingClientRect()
    menu.style.left = `${Math.max(8, Math.min(at.left, innerWidth - own.width - 8))}px`
    menu.style.top = `${at.bottom + own.height + 8 > innerHeight ? Math.max(8, at.top - own.height - 4) : at.bottom + 4}px`
    from.setAttribute("aria-expanded", "true")
  }
  menu.addEventListener("toggle", event => {
    if (event.newState !== "closed") return
    opener?.removeAttribute("aria-expanded"); opener = null
    if (state.later) draw(state.later)
  })
  const item = (glyph, text, done, reason = "") => make("button", {type: "button", role: "menuitem", disabled: Boolean(reason), title: reason || null, onclick: () => { menu.hidePopover(); done() }}, icon(glyph), text)
  const leading = (glyph, text, href) => make("a", {role: "menuitem", href, onclick: () => menu.hidePopover()}, icon(glyph), text)

  const colors = (from, row) => {
    const choose = color => { menu.hidePopover(); act("color", {id: row.id, color}) }
    const field = make("input", {"aria-label": "Colour as hex", value: row.color ?? "", pattern: "#[0-9A-Fa-f]{6}", maxlength: "7", spellcheck: "false"})
    const form = make("form", {}, field, make("button", {type: "submit"}, "Set"))
    form.onsubmit = event => { event.preventDefault(); if (/^#[0-9a-f]{6}$/i.test(field.value)) choose(field.value.toLowerCase()) }
    const swatches = data.palette.map(color => make("button", {type: "button", style: `--tone:${painted(color)}`, "aria-label": color, "aria-pressed": String(color === row.color), onclick: () => choose(color)}))
    open(from, make("div", {class: "palette"}, ...swatches), form, item("format_color_reset", "Its own colour", () => choose("")))
  }
  const rowMenu = (from, row) => open(from,
    item("vertical_align_top", row.top ? "Unpin" : "Pin to the top", () => act("pin", {id: row.id, on: !row.top})),
    item("flag", row.baseline ? "No baseline" : "Use as baseline", () => act("baseline", {id: row.id, on: !row.baseline})),
    item("content_copy", "Copy name", () => navigator.clipboard?.writeText(row.id)))
  const headMenu = (from, column, place) => open(from,
    make("p", {}, column.title),
    column.up && leading("arrow_upward", "Sort ascending", column.up), column.down && leading("arrow_downward", "Sort descending", column.down),
    column.movable && make("hr"),
    column.movable && item("keep", column.left ? "Unpin column" : "Pin left", () => act("left", {column: column.id, on: !column.left})),
    column.movable && place > 0 && item("chevron_left", "Move left", () => act("move", {column: column.id, by: -1})),
    column.movable && item("chevron_right", "Move right", () => act("move", {column: column.id, by: 1})),
    column.movable && item("visibility_off", "Hide column", () => act("hide", {column: column.id})),
    column.groupable && item("stacks", "Group by this", () => act("group", {column: column.id})),
    column.direction && make("hr"),
    column.direction && item(column.direction === "max" ? "trending_down" : "trending_up", column.direction === "max" ? "Lower is better" : "Higher is better", () => act("direction", {column: column.id, higher: column.direction !== "max"}), data.refused))

  const widths = [...(data.selectable ? [32] : []), ...data.columns.map(column => column.width)]
  const table = make("table", {"aria-label": data.label})
  const group = make("colgroup", {}, ...widths.map(width => make("col", {style: `width:${width}px`})), make("col"))
  const lay = () => {
    table.style.setProperty("--wide", `${widths.reduce((sum, width) => sum + width, 0)}px`)
    group.querySelectorAll("col").forEach((node, at) => { if (at < widths.length) node.style.width = `${widths[at]}px` })
    let left = 0
    const offsets = widths.map((width, at) => { const is = at < fixed; const mine = left; if (is) left += width; return is ? mine : null })
    table.querySelectorAll("tr").forEach(tr => { offsets.forEach((offset, at) => { if (offset !== null && tr.children[at]) tr.children[at].style.setProperty("--at", `${offset}px`) }) })
  }
  const shift = data.selectable ? 1 : 0
  const fixed = shift + data.columns.filter(column => column.left).length
  const edged = at => at < fixed ? ` left${at === fixed - 1 ? " edge" : ""}` : ""

  const grip = (th, at) => make("span", {class: "grip", onpointerdown: event => {
    event.preventDefault(); event.stopPropagation()
    const handle = event.currentTarget, from = event.clientX, was = widths[at]
    handle.setPointerCapture(event.pointerId); handle.classList.add("on")
    handle.onpointermove = move => { widths[at] = Math.round(Math.max(48, Math.min(1200, was + move.clientX - from))); lay() }
    handle.onpointerup = () => { handle.onpointermove = null; handle.classList.remove("on"); if (widths[at] !== was) act("width", {column: data.columns[at - shift].id, width: widths[at]}) }
  }})
  const head = (column, place) => {
    const at = place + shift, th = make("th", {class: `${NUMBERS.has(column.kind) || column.right ? "num" : ""}${edged(at)}`, scope: "col", title: column.title, "aria-sort": column.sorted === "desc" ? "descending" : column.sorted ? "ascending" : null})
    const open = data.rows.filter(row => row.shown).length
    const eye = column.kind === "run" && data.eyes ? make("button", {type: "button", class: `eye ${open ? "on" : ""}`, "aria-label": open ? "Draw none" : "Draw all", title: open ? "Draw none" : "Draw all", onclick: () => act("eyes", {on: !open})}, icon(open ? "visibility" : "visibility_off")) : null
    const label = column.href ? make("a", {href: column.href, onclick: event => { if (event.shiftKey && column.more) { event.preventDefault(); event.stopPropagation(); getSelection()?.removeAllRanges(); go(column.more) } }}, column.label) : make("span", {}, column.label)
    const arrow = column.sorted ? make("span", {class: "arrow"}, column.sorted === "desc" ? "↓" : "↑", column.place ? make("sup", {}, column.place) : null) : null
    const menuButton = column.menu ? make("button", {type: "button", class: "more", "aria-label": `Column ${column.label}`, onclick: event => headMenu(event.currentTarget, column, place)}, icon("more_vert")) : null
    th.append(make("div", {class: "in"}, eye, label, arrow, menuButton), grip(th, at))
    return th
  }
  const nameCell = row => {
    const star = make("button", {type: "button", class: `star ${row.starred ? "on" : "quiet"}`, "aria-label": `Star ${row.name}`, "aria-pressed": String(Boolean(row.starred)), disabled: Boolean(data.refused), title: data.refused || null,
      onclick: () => act("star", {id: row.id, on: !row.starred})}, icon("star", row.starred ? "full" : ""))
    const eye = data.eyes ? make("button", {type: "button", class: `eye ${row.shown ? "on" : ""}`, "aria-label": `Draw ${row.name}`, "aria-pressed": String(Boolean(row.shown)), onclick: () => act("eye", {id: row.id, on: !row.shown})}, icon(row.shown ? "visibility" : "visibility_off")) : null
    return make("div", {class: "name"}, eye,
      make("button", {type: "button", class: "swatch", style: `--tone:${painted(row.color)}`, "aria-label": `Colour of ${row.name}`, disabled: Boolean(data.refused), title: data.refused || "Colour", onclick: event => colors(event.currentTarget, row)}),
      make("a", {href: row.href, title: row.name === row.id ? row.name : `${row.name}\n${row.id}`}, row.name),
      row.children && make("small", {title: "It has child runs"}, icon("account_tree")),
      make("span", {class: "end"}, row.baseline && make("small", {}, "baseline"), row.top && icon("keep"), star,
        make("button", {type: "button", class: "quiet", "aria-label": `More of ${row.name}`, onclick: event => rowMenu(event.currentTarget, row)}, icon("more_vert"))))
  }
  const cell = (column, value, at, best) => {
    const td = make("td", {class: `${NUMBERS.has(column.kind) ? "num" : column.kind}${column.right ? " num" : ""}${best ? " best" : ""}${edged(at)}`})
    if (value === null || value === undefined || value === "") return td
    td.append(...cells[column.kind](value).filter(part => part !== null))
    if (best) td.title = data.best
    else if (typeof value === "string") td.title = value
    if (column.kind === "num" && typeof value === "string") td.classList.add("words")
    return td
  }
  const paint = () => {
    wrap.querySelectorAll("tbody tr").forEach(tr => {
      const on = state.picked.has(tr.dataset.id)
      tr.setAttribute("aria-selected", on); const box = tr.querySelector(".pick input"); if (box) box.checked = on
    })
    const all = wrap.querySelector("thead input")
    if (all) { all.checked = ids.length > 0 && state.picked.size === ids.length; all.indeterminate = state.picked.size > 0 && !all.checked }
  }
  const all = make("input", {type: "checkbox", "aria-label": "Select all rows"})
  all.onchange = () => { state.picked = new Set(all.checked ? ids : []); paint(); tell() }
  const body = make("tbody")
  const tops = data.rows.filter(row => row.top).length
  data.rows.forEach((row, place) => {
    const tr = make("tr", {"data-id": row.id, class: row.top ? `top${place === tops - 1 ? " end" : ""}` : null})
    if (data.selectable) {
      const box = make("input", {type: "checkbox", "aria-label": `Select ${row.name}`})
      box.onclick = event => {
        const [from, to] = event.shiftKey && state.last >= 0 ? [Math.min(state.last, place), Math.max(state.last, place)] : [place, place]
        for (let at = from; at <= to; at++) box.checked ? state.picked.add(ids[at]) : state.picked.delete(ids[at])
        state.last = place; paint(); tell()
      }
      tr.append(make("td", {class: `pick${edged(0)}`}, box))
    }
    data.columns.forEach((column, at) => tr.append(column.kind === "run" ? make("td", {class: edged(at + shift)}, nameCell(row)) : cell(column, row.cells[at], at + shift, row.best?.includes(at))))
    tr.append(make("td"))
    body.append(tr)
  })
  const top = make("tr", {}, ...(data.selectable ? [make("th", {class: `pick${edged(0)}`}, all)] : []), ...data.columns.map(head), make("th"))
  table.append(group, make("thead", {}, top), body)
  const old = wrap.querySelector(".box"), scrolled = old ? [old.scrollLeft, state.at === data.at ? old.scrollTop : 0] : [0, 0]
  state.at = data.at
  const box = make("div", {class: "box", tabindex: "0", role: "region", "aria-label": data.label}, table)
  const foot = make("footer", {}, make("span", {}, data.foot))
  if (data.sizes) foot.append(make("span", {class: "sizes"}, "Rows", ...data.sizes.map(each => make("a", {href: each.href, "aria-current": each.current ? "true" : null}, String(each.size)))))
  if (data.earlier || data.later) for (const [text, href] of [["Previous", data.earlier], ["Next", data.later]])
    foot.append(make("a", {href, "aria-disabled": href ? null : "true"}, text))
  wrap.replaceChildren(box, foot, menu)
  lay(); paint(); box.scrollTo(...scrolled)
  clearInterval(state.timer)
  state.timer = setInterval(() => {
    wrap.querySelectorAll("time").forEach(node => { const text = ago(Date.parse(node.dateTime)); if (node.textContent !== text) node.textContent = text })
    wrap.querySelectorAll("[data-since]").forEach(node => { node.textContent = spoken((Date.now() - Date.parse(node.dataset.since)) / 1000) })
  }, 1000)
  return leave
}
