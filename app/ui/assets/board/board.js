// A dashboard: sections of tiles. What a person changes is drawn at once and told to the studio meanwhile.
const GAP = 12
const held = new WeakMap()
const change = (s, board) => {
  notice(s, "")
  s.board = board
  s.n = Math.max(s.n + 1, Date.now())
  s.setStateValue("changed", {n: s.n, board})
  draw(s)
}
const notice = (s, message, undo = null) => {
  s.notice.replaceChildren(make("span", {}, message), ...(undo ? [button("Undo", undo)] : []), tool("close", "Close the message", () => notice(s, "")))
  s.notice.dataset.tone = undo ? "gray" : "red"
  s.notice.hidden = !message
}
const dropped = (s, what, board) => {
  const before = s.board
  change(s, board)
  notice(s, `'${what}' was removed.`, () => change(s, before))
}
const renamed = (s, at, node) => {
  const entry = make("input", {type: "text", class: "rename", "aria-label": "Name of the section", maxlength: 120})
  entry.value = s.board.sections[at].title
  let isOver = false
  const over = keep => {
    if (isOver) return
    isOver = true
    const title = entry.value.trim()
    if (keep && title && title !== s.board.sections[at].title) change(s, sectioned(s.board, at, section => ({...section, title})))
    else draw(s)
  }
  entry.onkeydown = event => { if (event.key === "Enter") over(true); if (event.key === "Escape") { event.stopPropagation(); over(false) } }
  entry.onblur = () => over(true)
  node.replaceWith(entry)
  entry.select()
}
const head = (s, section, at, count) => {
  const last = s.board.sections.length - 1, hidden = section.tiles.filter(tile => tile.hidden)
  const shift = to => change(s, {...s.board, sections: swapped(s.board.sections, at, to)})
  const fold = () => {
    const next = sectioned(s.board, at, each => ({...each, collapsed: !each.collapsed}))
    if (s.canEdit) return change(s, next)
    s.board = next
    draw(s)
  }
  const name = make("h3", {}, section.title)
  const opener = make("button", {type: "button", class: "fold", "aria-expanded": String(!section.collapsed), onclick: fold}, glyph("chevron_right"), name, make("small", {}, String(count)))
  const add = tool("add", `Add a tile to ${section.title}`, () => menu(add, Object.entries(TYPES).map(([type, [label, icon]]) => [icon, label, () => added(s, at, type)]), "Add a tile"), {"aria-haspopup": "menu", "aria-expanded": "false"})
  const more = tool("more_horiz", `More for ${section.title}`, () => menu(more, [
    ["edit", "Rename", () => renamed(s, at, opener)],
    ["arrow_upward", "Move up", at > 0 && (() => shift(at - 1))],
    ["arrow_downward", "Move down", at < last && (() => shift(at + 1))],
    ["delete", "Remove", () => dropped(s, section.title, {...s.board, sections: s.board.sections.filter((_, place) => place !== at)})]], section.title), {"aria-haspopup": "menu", "aria-expanded": "false"})
  const unhide = hidden.length && s.canEdit ? make("button", {type: "button", class: "hidden", "aria-haspopup": "menu", "aria-expanded": "false",
    onclick: event => menu(event.currentTarget, hidden.map(tile => ["visibility", `Show ${called(tile)}`, () => change(s, tiled(s.board, tile.id, each => ({...each, hidden: false})))]), "Hidden tiles")}, `${hidden.length} hidden`) : null
  return make("header", {class: "head"}, opener, unhide, s.canEdit ? [add, more] : null)
}
const visible = s => JSON.stringify([s.canEdit, s.search, s.board.sections.map(section => [section.title, Boolean(section.collapsed), section.tiles.map(tile =>
  [tile.id, tile.type, called(tile), widthOf(tile), heightOf(tile), Boolean(tile.hidden), tile.type === "markdown" && tile.text, sought(tile)])])])
// An open menu, a half written name and what is held by the mouse outlive an answer of the studio that changes nothing.
const refreshed = s => {
  if (s.drawn !== visible(s)) return draw(s)
  for (const tile of s.board.sections.flatMap(section => section.tiles)) {
    const view = s.views.get(tile.id)
    if (view) { view.tile = tile; want(s, view) }
  }
}
const draw = s => {
  s.drawn = visible(s)
  const tiles = new Map(s.board.sections.flatMap(section => section.tiles).map(tile => [tile.id, tile]))
  for (const [id, view] of s.views) if (!tiles.has(id) || tiles.get(id).hidden || tiles.get(id).type !== view.tile.type) { forgotten(s, view); s.views.delete(id) }
  const sections = s.board.sections.map((section, at) => {
    const matching = section.tiles.filter(tile => !tile.hidden && (!s.search || sought(tile).includes(s.search)))
    const grid = make("div", {class: "grid"})
    const isOpen = !section.collapsed || Boolean(s.search)
    if (isOpen) grid.append(...matching.map(tile => {
      const view = s.views.get(tile.id) ?? tileView(s, tile)
      s.views.set(tile.id, view)
      dressed(s, view, tile)
      return view.node
    }))
    if (isOpen && !matching.length) grid.append(make("p", {class: "none"}, s.search ? "No tile here matches." : s.canEdit ? "No tiles. Add one with +, or drag one here." : "No tiles."))
    return make("section", {class: "section", "data-at": at, "aria-label": section.title}, head(s, section, at, matching.length), isOpen ? grid : null)
  })
  const root = s.wrap.getRootNode(), focused = root.activeElement?.getAttribute("aria-label")
  s.list.replaceChildren(...sections.length ? sections : [make("p", {class: "none"}, s.canEdit ? "Nothing is on this dashboard. Add a section, then charts to it." : "Nothing is on this dashboard.")])
  bar(s)
  if (focused && !s.wrap.contains(root.activeElement)) [...s.list.querySelectorAll("button")].find(each => each.getAttribute("aria-label") === focused)?.focus({preventScroll: true})
  for (const view of s.views.values()) want(s, view)
}
const begin = s => {
  change(s, {...s.board, sections: [...s.board.sections, {title: `Section ${s.board.sections.length + 1}`, collapsed: false, tiles: []}]})
  s.list.lastChild.scrollIntoView({block: "nearest", behavior: "smooth"})
}
const bar = s => {
  if (!s.bar.childNodes.length) {
    const search = make("input", {type: "search", placeholder: "Find a chart", "aria-label": "Find a tile by metric"})
    search.oninput = () => { s.search = search.value.trim().toLowerCase(); draw(s) }
    s.bar.append(search, s.acts)
  }
  s.acts.replaceChildren(...s.canEdit
    ? [button("All line charts", () => everywhere(s), {icon: "tune"}), button("Add section", () => begin(s), {icon: "add"})]
    : [make("span", {class: "locked", title: s.data.reason}, glyph("lock"), "View only")])
}
const begun = (parentElement, wrap) => {
  const s = {wrap, views: new Map(), queue: [], running: 0, answers: new Map(), n: 0, search: "", given: ""}
  s.bar = make("div", {class: "toolbar"})
  s.acts = make("div", {class: "acts"})
  s.notice = make("div", {class: "notice", role: "alert", hidden: true})
  s.list = make("div", {class: "sections"})
  wrap.replaceChildren(s.bar, s.notice, s.list)
  s.seen = new IntersectionObserver(entries => {
    for (const {target, isIntersecting} of entries) {
      const view = s.views.get(target.dataset.id)
      if (!view) continue
      view.isSeen = isIntersecting
      isIntersecting ? want(s, view) : left(s, view)
    }
  }, {rootMargin: "160px"})
  held.set(parentElement, s)
  return s
}
const adopted = s => {
  const {data} = s, told = JSON.stringify(data.board)
  if (data.refused && data.refused.n === s.n && s.refused !== s.n) {
    Object.assign(s, {board: data.board, given: told, refused: s.n})
    notice(s, data.refused.message)
  } else if (told !== s.given) {
    s.given = told
    if (!s.board || data.seen >= s.n) s.board = data.board
  }
  refreshed(s)
}
const released = s => {
  s.isHeld = false
  adopted(s)
}
export default function ({data, parentElement, setStateValue}) {
  const wrap = parentElement.querySelector(".board")
  const s = held.get(parentElement) ?? begun(parentElement, wrap)
  const before = s.data
  Object.assign(s, {data, setStateValue, canEdit: data.canEdit})
  if (!s.isHeld) adopted(s)
  const look = Object.values(colors(s)).join()
  if (s.look && s.look !== look) for (const view of s.views.values()) if (view.answer) paint(s, view)
  s.look = look
  if (before?.live !== data.live) polling(s)
  return () => {
    const gone = held.get(parentElement)
    if (!gone) return
    clearInterval(gone.timer)
    gone.seen.disconnect()
    for (const view of gone.views.values()) forgotten(gone, view)
    held.delete(parentElement)
  }
}
