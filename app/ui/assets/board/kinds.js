// What a tile shows, by the kind of its answer.
const paint = (s, view) => {
  const {kind} = view.answer
  if (kind !== "figure") clear(view)
  if (kind !== "parallel") view.fitted = null
  view.node.dataset.kind = kind
  switch (kind) {
    case "figure": return view.answer.figure.data.length ? plot(s, view, view.answer) : empty(view, view.answer.note)
    case "parallel": return view.answer.lines.length ? parallel(s, view) : empty(view, view.answer.note)
    case "images": return view.answer.runs.some(run => run.items.length) ? images(s, view) : empty(view, view.answer.note)
    case "table": return view.answer.rows.length ? tabled(s, view) : empty(view, view.answer.note)
    case "scalar": return view.answer.items.length ? scalars(s, view) : empty(view, view.answer.note)
    case "markdown": return view.body.replaceChildren(written(view.answer.text))
    default: return empty(view, view.answer.note)
  }
}
const images = (s, view) => {
  const {keys, steps, runs} = view.answer, last = steps.length - 1
  view.step = Math.min(view.step ?? last, last)
  view.image = keys.includes(view.image) ? view.image : keys[0]
  const said = make("output", {}), slider = make("input", {type: "range", min: 0, max: Math.max(0, last), step: 1, "aria-label": "Step"})
  slider.value = view.step
  const pick = make("select", {"aria-label": "Image"}, keys.map(key => make("option", {value: key, selected: key === view.image}, key)))
  const grid = make("div", {class: "images"})
  const show = () => {
    said.textContent = steps.length ? `Step ${steps[view.step]}` : ""
    grid.replaceChildren(...runs.map(run => {
      const items = run.items.filter(item => item.key === view.image && (item.step ?? 0) <= (steps[view.step] ?? Infinity))
      const item = items.reduce((best, each) => !best || (each.step ?? 0) >= (best.step ?? 0) ? each : best, null)
      return make("figure", {}, make("figcaption", {title: run.name}, dot(run.color), make("span", {}, who(s, run.run, run.name)), item && item.step !== steps[view.step] && steps.length ? make("small", {}, `step ${item.step}`) : null),
        item ? make("button", {type: "button", class: "picture", "aria-label": `Enlarge ${view.image} of ${run.name}`, onclick: () => enlarged(s, run, item)}, make("img", {src: item.src, alt: `${view.image} of ${run.name}`, loading: "lazy"})) : make("p", {}, "Not logged"))
    }))
  }
  slider.oninput = () => { view.step = Number(slider.value); show() }
  pick.onchange = () => { view.image = pick.value; show() }
  view.body.replaceChildren(make("div", {class: "bar"}, keys.length > 1 ? pick : null, last > 0 ? slider : null, said), grid)
  show()
}
const enlarged = (s, run, item) => dialog(s, `${item.key} of ${run.name}${item.step === undefined || item.step === null ? "" : `, step ${item.step}`}`,
  () => [make("div", {class: "large"}, make("img", {src: item.src, alt: `${item.key} of ${run.name}`}))], {wide: true})
const who = (s, run, name) => run ? make("a", {class: "who", href: `/run?ws=${encodeURIComponent(s.data.ws)}&run=${encodeURIComponent(run)}`}, name) : name
const text = cell => cell !== null && typeof cell === "object" ? cell.text ?? spoken(cell.value) : spoken(cell)
const tabled = (s, view) => {
  const {columns, rows, note} = view.answer
  const heads = columns.map(column => typeof column === "object" ? column : {label: column})
  const isNumber = heads.map((_, at) => rows.some(row => typeof valueOf(row, at) === "number") && rows.every(row => ["number", "object", "undefined"].includes(typeof valueOf(row, at))))
  const cell = (row, at) => {
    const found = cellsOf(row)[at], isRich = found !== null && typeof found === "object"
    return make("td", {class: isNumber[at] ? "num" : "", title: text(found)}, isRich && found.color ? dot(found.color) : null, isRich && found.run ? who(s, found.run, text(found)) : text(found),
      isRich && found.delta !== undefined && found.delta !== null ? make("small", {"data-tone": found.tone}, typeof found.delta === "number" ? `${found.delta > 0 ? "+" : ""}${spoken(found.delta)}` : found.delta) : null)
  }
  view.body.replaceChildren(make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": called(view.tile)}, make("table", {},
    make("thead", {}, make("tr", {}, heads.map((head, at) => make("th", {scope: "col", class: isNumber[at] ? "num" : "", title: head.label}, head.color ? dot(head.color) : null, who(s, head.run, head.label))))),
    make("tbody", {}, rows.map(row => make("tr", {}, heads.map((_, at) => cell(row, at))))))), note ? make("p", {class: "note"}, note) : "")
}
const cellsOf = row => Array.isArray(row) ? row : row.cells
const valueOf = (row, at) => { const found = cellsOf(row)[at]; return found !== null && typeof found === "object" ? found.value ?? null : found }
const scalars = (s, view) => view.body.replaceChildren(make("div", {class: "scalars"}, view.answer.items.map(item =>
  make("div", {title: `${item.name}: ${item.text ?? spoken(item.value)}`}, make("span", {}, dot(item.color), who(s, item.run, item.name)), make("b", {}, item.text ?? spoken(item.value))))))

// A small, safe part of Markdown, built as nodes: headings, lists, rules, quotes, code, bold, italics, links.
const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*(?!\s)(.+?)\*|(?<!\w)_(?!\s)(.+?)_(?!\w)|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/
const inline = line => {
  const nodes = []
  let rest = line
  for (let found = INLINE.exec(rest); found; found = INLINE.exec(rest)) {
    nodes.push(rest.slice(0, found.index))
    const [whole, , code, bold, bolder, slanted, slanting, label, address] = found
    if (code !== undefined) nodes.push(make("code", {}, code))
    else if (address !== undefined) { const link = make("a", {target: "_blank", rel: "noopener noreferrer"}, inline(label)); link.href = address; nodes.push(link) }
    else if ((bold ?? bolder) !== undefined) nodes.push(make("b", {}, inline(bold ?? bolder)))
    else nodes.push(make("em", {}, inline(slanted ?? slanting)))
    rest = rest.slice(found.index + whole.length)
  }
  return [...nodes, rest].filter(each => each !== "")
}
const LIST = /^\s*(?:([-*+])|\d+[.)])\s+(.*)$/
const written = source => {
  const root = make("div", {class: "prose"}), lines = source.split("\n")
  let paragraph = null, list = null
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at], heading = /^(#{1,6})\s+(.*)$/.exec(line), item = LIST.exec(line)
    if (/^```/.test(line)) {
      const end = lines.findIndex((each, place) => place > at && /^```/.test(each)), stop = end < 0 ? lines.length : end
      root.append(make("pre", {}, lines.slice(at + 1, stop).join("\n")))
      at = stop
    } else if (item) {
      const kind = item[1] ? "UL" : "OL"
      if (list?.nodeName !== kind) { list = make(kind); root.append(list) }
      list.append(make("li", {}, inline(item[2])))
      paragraph = null
      continue
    } else if (heading) root.append(make(`h${Math.min(6, heading[1].length + 2)}`, {}, inline(heading[2])))
    else if (/^(-{3,}|\*{3,})\s*$/.test(line)) root.append(make("hr"))
    else if (/^>\s?/.test(line)) root.append(make("blockquote", {}, inline(line.replace(/^>\s?/, ""))))
    else if (line.trim()) {
      if (paragraph) paragraph.append("\n", ...inline(line))
      else { paragraph = make("p", {}, inline(line)); root.append(paragraph) }
      list = null
      continue
    }
    paragraph = list = null
  }
  return root
}
