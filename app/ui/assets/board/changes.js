// Changes of a board: each takes a board and answers another, the old one stays as it was.
const WIDTHS = [3, 4, 6, 8, 12]
const LOWEST = 160, HIGHEST = 900, STEP = 20
const fresh = () => `t${[...crypto.getRandomValues(new Uint8Array(5))].map(each => each.toString(36).padStart(2, "0")).join("")}`
const sectioned = (board, at, change) => ({...board, sections: board.sections.map((section, place) => place === at ? change(section) : section)})
const tiled = (board, id, change) => ({...board, sections: board.sections.map(section => ({...section, tiles: section.tiles.map(tile => tile.id === id ? change(tile) : tile)}))})
const placed = (board, id) => {
  for (const [section, each] of board.sections.entries()) {
    const tile = each.tiles.findIndex(found => found.id === id)
    if (tile >= 0) return {section, place: tile, tile: each.tiles[tile]}
  }
  return null
}
const removed = (board, id) => ({...board, sections: board.sections.map(section => ({...section, tiles: section.tiles.filter(tile => tile.id !== id)}))})
const swapped = (list, from, to) => { const next = [...list]; const [each] = next.splice(from, 1); next.splice(to, 0, each); return next }
// Before another tile of that section, or at its end.
const moved = (board, id, section, before) => {
  const {tile} = placed(board, id)
  return sectioned(removed(board, id), section, each => {
    const at = each.tiles.findIndex(found => found.id === before)
    return {...each, tiles: at < 0 ? [...each.tiles, tile] : [...each.tiles.slice(0, at), tile, ...each.tiles.slice(at)]}
  })
}
const wider = (width, by) => WIDTHS[within(0, WIDTHS.indexOf(nearest(width)) + by, WIDTHS.length - 1)]
const nearest = width => WIDTHS.reduce((best, each) => Math.abs(each - width) < Math.abs(best - width) ? each : best)
const widthOf = tile => nearest(tile.width ?? 6)
const heightOf = tile => within(LOWEST, tile.height ?? 300, HIGHEST)
