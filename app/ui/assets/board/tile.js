// One tile: its head with menu, its body, moving by the head, stretching by the corner, full screen, saving.
const tileView = (s, tile) => {
  const view = {tile, isSeen: false, answer: null, key: null}
  view.name = make("h4", {})
  view.body = make("div", {class: "body"})
  view.tools = make("div", {class: "tools"})
  view.head = make("header", {}, view.name, view.tools)
  view.corner = make("span", {class: "corner", "aria-hidden": "true", onpointerdown: event => stretched(s, view, event)})
  view.node = make("article", {class: "tile", "data-id": tile.id}, view.head, view.body, view.corner)
  view.sizes = new ResizeObserver(() => { cancelAnimationFrame(view.frame); view.frame = requestAnimationFrame(() => resized(view)) })
  view.sizes.observe(view.body)
  s.seen.observe(view.node)
  return view
}
const forgotten = (s, view) => {
  left(s, view)
  clear(view)
  view.sizes.disconnect()
  s.seen.unobserve(view.node)
  view.node.remove()
}
const dressed = (s, view, tile) => {
  view.tile = tile
  const title = called(tile)
  view.name.textContent = title
  view.name.title = title
  view.node.dataset.type = tile.type
  view.node.setAttribute("aria-label", title)
  view.node.style.setProperty("--span", widthOf(tile))
  view.node.style.height = `${heightOf(tile)}px`
  const more = tool("more_vert", `More for ${title}`, () => menu(more, lines(s, view), title), {"aria-haspopup": "menu", "aria-expanded": "false"})
  view.tools.replaceChildren(...[s.canEdit && tool("edit", `Edit ${title}`, () => edited(s, view.tile)), tool("fullscreen", `Full screen: ${title}`, () => full(s, view)), more].filter(Boolean))
  view.head.onpointerdown = s.canEdit ? event => grabbed(s, view, event) : null
  view.corner.hidden = !s.canEdit
  if (tile.type === "markdown" && view.source !== tile.text) {
    view.source = tile.text
    view.answer = {kind: "markdown", text: tile.text ?? ""}
    paint(s, view)
  }
}
const lines = (s, view) => {
  const {tile} = view, {section, place} = placed(s.board, tile.id), {tiles} = s.board.sections[section], title = called(tile)
  const isDrawn = ["figure", "parallel"].includes(view.answer?.kind), hasRows = isDrawn || ["table", "scalar"].includes(view.answer?.kind)
  const shape = by => change(s, tiled(s.board, tile.id, each => ({...each, ...by(each)})))
  const shift = to => change(s, sectioned(s.board, section, each => ({...each, tiles: swapped(each.tiles, place, to)})))
  const file = (format, make) => async () => {
    try { save(named(title, format), await make()) } catch (error) { notice(s, `The file could not be made: ${error.message}`) }
  }
  const image = format => file(format, () => view.answer.kind === "parallel" ? drawing(s, view, format) : picture(s, view, format))
  const editing = s.canEdit ? [
    ["edit", "Edit", () => edited(s, tile)],
    ["content_copy", "Duplicate", () => doubled(s, tile)],
    ["arrow_back", "Move left", place > 0 && (() => shift(place - 1))],
    ["arrow_forward", "Move right", place < tiles.length - 1 && (() => shift(place + 1))],
    ...s.board.sections.flatMap((each, at) => at === section ? [] : [["drive_file_move", `Move to ${each.title}`, () => change(s, moved(s.board, tile.id, at, ""))]]).slice(0, 8),
    ["width", "Wider", widthOf(tile) < 12 && (() => shape(each => ({width: wider(widthOf(each), 1)})))],
    ["width", "Narrower", widthOf(tile) > 3 && (() => shape(each => ({width: wider(widthOf(each), -1)})))],
    ["height", "Taller", heightOf(tile) < HIGHEST && (() => shape(each => ({height: within(LOWEST, heightOf(each) + 60, HIGHEST)})))],
    ["height", "Lower", heightOf(tile) > LOWEST && (() => shape(each => ({height: within(LOWEST, heightOf(each) - 60, HIGHEST)})))],
    ["visibility_off", "Hide", () => shape(() => ({hidden: true}))],
    ["delete", "Remove", () => dropped(s, title, removed(s.board, tile.id))],
    null] : []
  const wide = () => { view.zoom = (view.zoom ?? 0) + 1; paint(s, view) }
  return [...editing,
    ["zoom_out_map", "Reset zoom", view.answer?.kind === "figure" && wide],
    ["image", "Save as PNG", isDrawn && image("png")],
    ["polyline", "Save as SVG", isDrawn && image("svg")],
    ["csv", "Save data as CSV", hasRows && file("csv", () => csv(data(view.answer)))]]
}
const data = answer => {
  switch (answer.kind) {
    case "figure": return rowsOf(answer.figure)
    case "parallel": return [["name", "run", ...answer.axes.map(axis => axis.label)], ...answer.lines.map(line => [line.name, line.run, ...answer.axes.map((_, at) => line.labels?.[at] ?? line.values[at])])]
    case "table": return [answer.columns.map(column => column.label ?? column), ...answer.rows.map(row => cellsOf(row).map((_, at) => valueOf(row, at) ?? text(cellsOf(row)[at])))]
    case "scalar": return [["name", "run", "value"], ...answer.items.map(item => [item.name, item.run, item.value])]
  }
}
const full = (s, view) => {
  const home = document.createComment("")
  view.body.replaceWith(home)
  view.isFull = true
  dialog(s, called(view.tile), () => [view.body], {wide: true, closed: () => {
    view.isFull = false
    home.isConnected ? home.replaceWith(view.body) : view.name.isConnected && view.head.after(view.body)
    if (view.answer?.kind === "figure") paint(s, view)
  }})
  if (view.answer?.kind === "figure") paint(s, view)
}
const grabbed = (s, view, event) => {
  if (event.button || event.target.closest("button,.menu")) return
  event.preventDefault()
  const from = [event.clientX, event.clientY], root = s.wrap.getRootNode()
  view.head.setPointerCapture(event.pointerId)
  s.isHeld = true
  let place = null, isMoving = false
  const marked = (node, where) => {
    if (place) delete place.node.dataset.drop
    place = node ? {node, where} : null
    if (node) node.dataset.drop = where
  }
  view.head.onpointermove = move => {
    if (!isMoving && Math.hypot(move.clientX - from[0], move.clientY - from[1]) < 5) return
    isMoving = true
    view.node.dataset.moving = ""
    edge(s, move.clientY)
    const over = root.elementsFromPoint(move.clientX, move.clientY), tile = over.map(each => each.closest?.(".tile")).find(each => each && each !== view.node)
    if (tile) { const box = tile.getBoundingClientRect(); marked(tile, move.clientX < box.left + box.width / 2 ? "before" : "after") }
    else marked(over.map(each => each.closest?.(".section")).find(Boolean) ?? null, "in")
  }
  const stop = drop => {
    view.head.onpointermove = view.head.onpointerup = view.head.onpointercancel = null
    delete view.node.dataset.moving
    const found = place
    marked(null)
    released(s)
    if (!drop || !found) return
    const section = Number(found.node.closest(".section").dataset.at)
    const {tiles} = s.board.sections[section], at = tiles.findIndex(each => each.id === found.node.dataset.id)
    const before = found.where === "in" ? "" : found.where === "before" ? found.node.dataset.id : tiles.slice(at + 1).find(each => each.id !== view.tile.id)?.id ?? ""
    change(s, moved(s.board, view.tile.id, section, before))
  }
  view.head.onpointerup = () => stop(isMoving)
  view.head.onpointercancel = () => stop(false)
}
// What is dragged to the window's edge takes the page along.
const edge = (s, y) => {
  const by = y < 90 ? -18 : y > innerHeight - 60 ? 18 : 0
  if (!by) return
  s.scroller ??= document.querySelector("[data-testid=stMain]") ?? document.scrollingElement
  s.scroller.scrollBy(0, by)
}
const stretched = (s, view, event) => {
  event.preventDefault()
  const {corner, node} = view, box = node.getBoundingClientRect(), column = (node.parentElement.clientWidth + GAP) / 12
  corner.setPointerCapture(event.pointerId)
  s.isHeld = true
  let width = widthOf(view.tile), height = heightOf(view.tile)
  corner.onpointermove = move => {
    width = nearest((move.clientX - box.left + GAP) / column)
    height = within(LOWEST, Math.round((box.height + move.clientY - event.clientY) / STEP) * STEP, HIGHEST)
    node.style.setProperty("--span", width)
    node.style.height = `${height}px`
  }
  corner.onpointerup = corner.onpointercancel = () => {
    corner.onpointermove = corner.onpointerup = corner.onpointercancel = null
    released(s)
    if (width !== widthOf(view.tile) || height !== heightOf(view.tile)) change(s, tiled(s.board, view.tile.id, each => ({...each, width, height})))
  }
}
