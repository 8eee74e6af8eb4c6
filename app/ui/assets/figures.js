// A grid of figures that are told as they are: a tile stays while its id does, so that its zoom stays too.
const shown = new WeakMap()
const begun = (s, tile) => {
  const view = {body: make("div", {class: "body"}), tile: {type: tile.id}, sizes: null}
  view.sizes = new ResizeObserver(() => resized(view))
  view.name = make("h4", {})
  view.more = make("small", {})
  view.root = make("section", {class: "tile", "data-id": tile.id}, make("header", {}, view.name, view.more), view.body)
  return view
}
const drawnNow = async (s, view, tile) => {
  view.name.textContent = tile.title
  view.more.textContent = tile.note
  view.root.toggleAttribute("data-wide", tile.wide)
  if (!tile.figure) {
    clear(view)
    view.body.replaceChildren(make("div", {class: "said"}, make("p", {}, tile.nothing)))
    return
  }
  try { await plot(s, view, {figure: tile.figure, note: ""}) }
  catch (fault) { view.body.replaceChildren(make("div", {class: "said", role: "alert"}, make("p", {}, `It could not be drawn: ${fault.message}`))) }
}
export default function ({data, parentElement}) {
  const wrap = parentElement.querySelector(".figures")
  let s = shown.get(parentElement)
  if (!s) { s = {wrap, views: new Map(), grid: make("div", {class: "grid"})}; wrap.replaceChildren(s.grid); shown.set(parentElement, s) }
  const ids = data.tiles.map(tile => tile.id)
  for (const [id, view] of s.views) if (!ids.includes(id)) { clear(view); view.sizes.disconnect(); view.root.remove(); s.views.delete(id) }
  for (const tile of data.tiles) if (!s.views.has(tile.id)) s.views.set(tile.id, begun(s, tile))
  if (ids.join() !== s.order) { s.grid.replaceChildren(...ids.map(id => s.views.get(id).root)); s.order = ids.join() }
  for (const tile of data.tiles) drawnNow(s, s.views.get(tile.id), tile)
  return () => {
    const gone = shown.get(parentElement)
    for (const view of gone?.views.values() ?? []) { clear(view); view.sizes.disconnect() }
    shown.delete(parentElement)
  }
}
