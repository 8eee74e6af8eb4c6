// A graph: boxes that are real links, curves between them; pointing at one shows all that it hangs together with.
const px = value => `${value}px`
const card = (box, root, [width, height]) => {
  const icon = make("i", {class: "icon", "aria-hidden": "true"}, box.icon)
  const dot = box.tone ? make("i", {class: "dot", "data-tone": box.tone, "data-moving": box.moving}) : null
  const node = make("div", {class: "card", "data-id": box.id, "data-kind": box.kind, "data-root": box.id === root, title: box.title,
    style: {left: px(box.x), top: px(box.y), width: px(width), height: px(height)}},
    make("a", {class: "open", href: box.href}, icon, make("span", {}, box.label)),
    box.about || dot ? make("small", {}, dot, make("span", {}, box.about)) : null,
    box.mark ? make("code", {}, box.mark) : null)
  if (box.id !== root && box.centre)
    node.append(make("a", {class: "centre", href: box.centre, title: "Lineage from here", "aria-label": `Lineage from ${box.label}`},
      make("i", {class: "icon", "aria-hidden": "true"}, "center_focus_strong")))
  return node
}
const more = (box, side, [width, height]) => {
  const found = box[side]
  if (!found) return null
  const x = side === "earlier" ? box.x : box.x + width
  return make("a", {class: "more", href: found.href, title: `${found.count} more`, "aria-label": `Show ${found.count} more ${side} of ${box.label}`,
    style: {left: px(x), top: px(box.y + height / 2)}}, `+${found.count}`)
}
const curve = (from, to, by, [width, height]) => {
  const end = {x: to.x - 6, y: to.y + height / 2}
  let at = {x: from.x + width, y: from.y + height / 2}, path = `M${at.x},${at.y}`
  const on = (x, y) => {
    const bend = Math.max(28, Math.abs(x - at.x) / 2)
    path += ` C${at.x + bend},${at.y} ${x - bend},${y} ${x},${y}`
    at = {x, y}
  }
  for (const [x, y] of by) { on(x, y); path += ` L${x + width},${y}`; at = {x: x + width, y} }
  on(end.x, end.y)
  return {path, head: `M${end.x},${end.y - 4} L${end.x + 6},${end.y} L${end.x},${end.y + 4} Z`, x: end.x - 4, y: end.y - 6}
}
const reach = (start, next) => {
  const found = new Set([start]), todo = [start]
  while (todo.length) for (const id of next.get(todo.pop()) ?? []) if (!found.has(id)) { found.add(id); todo.push(id) }
  return found
}
const add = (map, key, value) => map.set(key, [...(map.get(key) ?? []), value])
export default function ({data, parentElement}) {
  const wrap = parentElement.querySelector(".wrap")
  const places = new Map(data.boxes.map(box => [box.id, box]))
  const svg = drawn("svg", {width: data.width, height: data.height, "aria-hidden": "true"})
  const ahead = new Map(), back = new Map(), shapes = []
  for (const line of data.lines) {
    add(ahead, line.source, line.target); add(back, line.target, line.source)
    const at = curve(places.get(line.source), places.get(line.target), line.by, data.box)
    const parts = [drawn("path", {class: "edge", d: at.path}), drawn("path", {class: "head", d: at.head})]
    if (line.role && line.role !== places.get(line.source).kind) {
      const short = line.role.length > 10 ? `${line.role.slice(0, 9)}…` : line.role
      for (const back of [true, false]) parts.push(drawn("text", {class: back ? "back" : "", x: at.x, y: at.y, "text-anchor": "end"}, short))
    }
    svg.append(...parts); shapes.push([line, parts])
  }
  const cards = data.boxes.map(box => card(box, data.root, data.box))
  const stage = make("div", {class: "stage", style: {width: px(data.width), height: px(data.height)}}, svg, ...cards,
    ...data.boxes.flatMap(box => [more(box, "earlier", data.box), more(box, "later", data.box)]))
  const frame = make("div", {class: "box", role: "group", "aria-label": data.label, tabindex: "-1"}, stage)
  const point = id => {
    stage.classList.toggle("dim", Boolean(id))
    const before = id ? reach(id, back) : new Set(), after = id ? reach(id, ahead) : new Set()
    cards.forEach(node => node.classList.toggle("near", before.has(node.dataset.id) || after.has(node.dataset.id)))
    for (const [line, parts] of shapes) {
      const near = (before.has(line.source) && before.has(line.target)) || (after.has(line.source) && after.has(line.target))
      parts.forEach(part => part.classList.toggle("near", near))
    }
  }
  cards.forEach(node => {
    node.onpointerenter = () => { if (!frame.classList.contains("held")) point(node.dataset.id) }
    node.onpointerleave = () => point(null)
    node.onfocusin = () => point(node.dataset.id)
    node.onfocusout = () => point(null)
  })
  let grip = null
  frame.onpointerdown = event => { if (!event.button && !event.target.closest("a,.card")) grip = [event.clientX + frame.scrollLeft, event.clientY + frame.scrollTop] }
  frame.onpointermove = event => {
    if (!grip) return
    frame.classList.add("held"); frame.scrollLeft = grip[0] - event.clientX; frame.scrollTop = grip[1] - event.clientY
  }
  frame.onpointerup = frame.onpointerleave = () => { grip = null; frame.classList.remove("held") }
  wrap.replaceChildren(frame)
  const zoom = Math.min(1, Math.max(0.82, frame.clientWidth / data.width))
  stage.style.zoom = zoom
  const middle = places.get(data.root)
  frame.scrollLeft = (middle.x + data.box[0] / 2) * zoom - frame.clientWidth / 2
  frame.scrollTop = (middle.y + data.box[1] / 2) * zoom - frame.clientHeight / 2
}
