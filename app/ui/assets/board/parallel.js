// Parallel coordinates, drawn by ourselves: brush any axis by dragging, move an axis by its name, point at a run.
const TOP = 36, FOOT = 16, SIDE = 56, REACH = 11, NEAR = 8
const fields = view => view.order.map(at => view.answer.axes[at])
const ordered = view => {
  const labels = view.answer.axes.map(axis => axis.label).join("\n")
  if (view.labels !== labels) Object.assign(view, {labels, order: view.answer.axes.map((_, at) => at), brushes: new Map()})
}
const ticks = axis => {
  if (axis.ticks?.length) return axis.ticks.map((tick, at, all) => typeof tick === "object"
    ? Array.isArray(tick) ? [tick[0], String(tick[1])] : [tick.at ?? tick.value, String(tick.text ?? tick.label)]
    : [all.length > 1 ? at / (all.length - 1) : .5, String(tick)])
  const [low, high] = axis.range ?? [0, 1]
  if (!(high > low)) return [[.5, spoken(low)]]
  if (axis.type === "log") {
    const [from, to] = [Math.log10(low), Math.log10(high)], found = []
    for (let power = Math.ceil(from - 1e-9); power <= to + 1e-9; power += Math.max(1, Math.ceil((to - from) / 6))) found.push([(power - from) / (to - from), spoken(10 ** power)])
    return found.length > 1 ? found : [[0, spoken(low)], [1, spoken(high)]]
  }
  const rough = (high - low) / 4, unit = 10 ** Math.floor(Math.log10(rough)), step = unit * ([1, 2, 5].find(each => each * unit >= rough) ?? 10), found = []
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push([(value - low) / (high - low), spoken(Math.abs(value) < step * 1e-9 ? 0 : value)])
  return found
}
const clipped = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text
const kept = (view, line) => [...view.brushes].every(([at, [low, high]]) => line.values[at] !== null && line.values[at] >= low && line.values[at] <= high)
const usual = view => view.answer.lines.length > 50 ? .45 : .75
// The whole drawing with its colours in it, so that what is saved looks like what is seen.
const sketch = (s, view, width, height) => {
  const {text, muted, grid, line: rule, font} = colors(s), axes = fields(view)
  const svg = drawn("svg", {width, height, viewBox: `0 0 ${width} ${height}`, "font-family": font.replaceAll('"', "'"), "font-size": 11, role: "img", "aria-label": called(view.tile)})
  const x = at => axes.length > 1 ? SIDE + at * (width - 2 * SIDE) / (axes.length - 1) : width / 2
  const y = value => height - FOOT - value * (height - TOP - FOOT)
  const paths = view.answer.lines.map(line => {
    let path = "", isOn = false
    view.order.forEach((axis, at) => {
      const value = line.values[axis]
      if (value === null || value === undefined) { isOn = false; return }
      path += `${isOn ? "L" : "M"}${x(at).toFixed(1)},${y(value).toFixed(1)}`
      isOn = true
    })
    return drawn("path", {d: path, fill: "none", stroke: COLOR.test(line.color ?? "") ? line.color : muted, "stroke-width": 1.3, "stroke-linejoin": "round", opacity: usual(view)})
  })
  svg.append(...paths)
  const room = axes.length > 1 ? (width - 2 * SIDE) / (axes.length - 1) : width, letters = Math.max(6, Math.floor(room / 6.2))
  const columns = axes.map((axis, at) => {
    const column = drawn("g", {transform: `translate(${x(at)},0)`})
    column.append(drawn("line", {y1: y(1), y2: y(0), stroke: rule, "stroke-width": 1}))
    for (const [value, label] of ticks(axis)) {
      column.append(drawn("line", {x1: -3, x2: 0, y1: y(value), y2: y(value), stroke: rule}),
        drawn("text", {x: -6, y: y(value) + 3.5, "text-anchor": "end", fill: muted, stroke: "var(--st-background-color)", "stroke-width": 3, "paint-order": "stroke"}, clipped(label, 12)))
    }
    const name = drawn("text", {y: 16, "text-anchor": at === 0 ? "start" : at === axes.length - 1 ? "end" : "middle", x: at === 0 ? -SIDE + 8 : at === axes.length - 1 ? SIDE - 8 : 0, fill: text, "font-weight": 560}, clipped(axis.label, letters))
    name.append(drawn("title", {}, axis.label))
    column.append(name)
    return {column, name}
  })
  svg.append(...columns.map(each => each.column))
  return {svg, x, y, paths, columns}
}
const parallel = (s, view) => {
  ordered(view)
  view.stage = make("div", {class: "parallel"})
  view.body.replaceChildren(view.stage)
  if (view.answer.note) view.body.append(make("p", {class: "note"}, view.answer.note))
  view.fitted = () => { if (view.stage.clientWidth !== view.drawnAt?.[0] || view.stage.clientHeight !== view.drawnAt?.[1]) traced(s, view) }
  traced(s, view)
}
const traced = (s, view) => {
  const width = view.stage.clientWidth, height = view.stage.clientHeight
  if (!width || !height) return
  view.drawnAt = [width, height]
  const {svg, x, y, paths, columns} = sketch(s, view, width, height), tip = make("div", {class: "tip", hidden: true})
  const {lines, axes} = view.answer
  const boxes = view.order.map((axis, at) => {
    const area = drawn("rect", {class: "strip", x: -REACH, width: 2 * REACH, y: y(1) - 4, height: y(0) - y(1) + 8, fill: "transparent"})
    const brush = drawn("rect", {class: "brush", x: -7, width: 14, rx: 2})
    columns[at].column.append(area, brush)
    area.onpointerdown = event => brushed(s, view, {event, axis, area, top: svg, y, paint: repaint, height})
    dragged(view, {name: columns[at].name, at, x, again: () => traced(s, view), group: columns[at].column})
    return {axis, brush}
  })
  const repaint = () => {
    for (const {axis, brush} of boxes) {
      const range = view.brushes.get(axis)
      set(brush, {y: range ? y(range[1]) : 0, height: range ? Math.max(2, y(range[0]) - y(range[1])) : 0})
    }
    lines.forEach((line, place) => {
      const isKept = kept(view, line)
      paths[place].setAttribute("opacity", view.pointed === line.run ? 1 : !isKept ? .07 : view.pointed ? usual(view) / 2 : usual(view))
      paths[place].setAttribute("stroke-width", view.pointed === line.run ? 2.6 : 1.3)
    })
  }
  svg.onpointermove = event => {
    if (event.buttons) return
    const at = svg.getBoundingClientRect(), mx = event.clientX - at.left, my = event.clientY - at.top, near = closest(view, x, y, mx, my)
    view.pointed = near?.run ?? null
    repaint()
    tip.hidden = !near
    if (!near) return
    tip.replaceChildren(make("b", {}, dot(near.color), near.name), ...view.order.map(axis => make("span", {}, make("em", {}, axes[axis].label), spoken(near.labels?.[axis] ?? ""))))
    tip.style.left = `${within(4, mx + 14, width - tip.offsetWidth - 4)}px`
    tip.style.top = `${within(4, my + 12, height - tip.offsetHeight - 4)}px`
  }
  svg.onpointerleave = () => { view.pointed = null; tip.hidden = true; repaint() }
  view.stage.replaceChildren(svg, tip)
  repaint()
}
const closest = (view, x, y, mx, my) => {
  const last = view.order.length - 1
  let best = null, least = NEAR
  for (const line of view.answer.lines) {
    if (!kept(view, line)) continue
    for (let at = 0; at < Math.max(1, last); at++) {
      const from = line.values[view.order[at]], to = line.values[view.order[Math.min(last, at + 1)]]
      if (from === null || to === null || mx < x(at) - NEAR || mx > x(Math.min(last, at + 1)) + NEAR) continue
      const part = last ? within(0, (mx - x(at)) / (x(at + 1) - x(at)), 1) : 0, gap = Math.abs(y(from) + part * (y(to) - y(from)) - my)
      if (gap < least) [best, least] = [line, gap]
    }
  }
  return best
}
// Drag on a free part makes a brush, inside one moves it, at its edge stretches it; a click takes it away.
const brushed = (s, view, {event, axis, area, top, y, paint}) => {
  event.preventDefault()
  area.setPointerCapture(event.pointerId)
  const box = top.getBoundingClientRect(), span = y(0) - y(1)
  const valueAt = each => within(0, (y(0) - (each.clientY - box.top)) / span, 1), edge = 6 / span
  const start = valueAt(event), old = view.brushes.get(axis)
  const isIn = old && start > old[0] - edge && start < old[1] + edge
  const end = isIn && Math.abs(start - old[0]) < edge ? 0 : isIn && Math.abs(start - old[1]) < edge ? 1 : null
  let hasMoved = false
  area.onpointermove = move => {
    const now = valueAt(move)
    if (!hasMoved && Math.abs(now - start) * span < 3) return
    hasMoved = true
    if (isIn && end === null) {
      const by = within(-old[0], now - start, 1 - old[1])
      view.brushes.set(axis, [old[0] + by, old[1] + by])
    } else {
      const fixed = isIn ? old[1 - end] : start
      view.brushes.set(axis, [Math.min(fixed, now), Math.max(fixed, now)])
    }
    paint()
    told(s, view)
  }
  area.onpointerup = area.onpointercancel = () => {
    area.onpointermove = area.onpointerup = area.onpointercancel = null
    if (hasMoved) return
    view.brushes.delete(axis)
    paint()
    told(s, view)
  }
}
const told = (s, view) => {
  clearTimeout(s.telling)
  s.telling = setTimeout(() => {
    const runs = view.brushes.size ? view.answer.lines.filter(line => kept(view, line)).map(line => line.run) : []
    s.setStateValue("brushed", {tile: view.tile.id, runs})
  }, 250)
}
const dragged = (view, {name, at, x, again, group}) => {
  name.style.cursor = "grab"
  name.onpointerdown = event => {
    event.preventDefault()
    name.setPointerCapture(event.pointerId)
    const from = event.clientX
    let by = 0
    name.onpointermove = move => { by = move.clientX - from; group.setAttribute("transform", `translate(${x(at) + by},0)`) }
    name.onpointerup = name.onpointercancel = () => {
      name.onpointermove = name.onpointerup = name.onpointercancel = null
      const others = view.order.filter((_, place) => place !== at), place = view.order.filter((_, other) => other !== at && x(other) < x(at) + by).length
      view.order = [...others.slice(0, place), view.order[at], ...others.slice(place)]
      again()
    }
  }
}
const drawing = async (s, view, format) => {
  const width = Math.max(640, view.body.clientWidth), height = Math.max(320, view.body.clientHeight), {page} = colors(s)
  const {svg} = sketch(s, view, width, height)
  svg.setAttribute("xmlns", SVG)
  svg.prepend(drawn("rect", {width, height, fill: page}))
  for (const text of svg.querySelectorAll("text[stroke]")) text.setAttribute("stroke", page)
  const blob = new Blob([new XMLSerializer().serializeToString(svg)], {type: "image/svg+xml"})
  if (format === "svg") return blob
  const image = new Image(), href = URL.createObjectURL(blob)
  image.src = href
  await image.decode()
  const canvas = make("canvas", {width: width * 2, height: height * 2})
  canvas.getContext("2d").drawImage(image, 0, 0, width * 2, height * 2)
  URL.revokeObjectURL(href)
  return new Promise(done => canvas.toBlob(done, "image/png"))
}
