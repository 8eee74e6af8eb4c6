// Runs beside each other: a column a run, the baseline first. All text is put in as text, colours and numbers are checked.
const painted = (node, color) => { if (/^#[0-9a-f]{6}$/i.test(color)) node.style.setProperty("--tone", color); return node }
const head = run => {
  const th = make("th", {class: "run", scope: "col", "data-run": run.id, "data-base": run.is_baseline, title: run.title})
  const top = make("div", {class: "top"}, painted(make("i", {class: "dot"}), run.color), make("a", {class: "open", href: run.href}, run.label))
  if (run.remove) top.append(make("a", {class: "x", href: run.remove, title: "Take out of the comparison", "aria-label": `Remove ${run.label}`}, "×"))
  const under = run.is_baseline ? make("b", {}, "Baseline") : make("a", {href: run.baseline, "aria-label": `Make ${run.label} the baseline`}, "Set as baseline")
  th.append(top, make("div", {class: "under"}, make("span", {}, run.status), under))
  return th
}
const spark = (lines, runs) => {
  const td = make("td", {class: "spark"})
  if (!lines?.length) return td
  const svg = document.createElementNS(SVG, "svg")
  svg.setAttribute("viewBox", "0 0 120 30"); svg.setAttribute("aria-hidden", "true")
  for (const [place, points] of lines) {
    const pairs = points.filter(each => Number.isFinite(each))
    if (pairs.length !== points.length || points.length % 2) continue
    const single = points.length === 2
    const node = document.createElementNS(SVG, single ? "circle" : "polyline")
    if (single) { node.setAttribute("cx", points[0]); node.setAttribute("cy", points[1]); node.setAttribute("r", 2) }
    else node.setAttribute("points", points.join(" "))
    if (runs[place].is_baseline) node.setAttribute("data-base", "")
    svg.append(painted(node, runs[place].color))
  }
  td.append(svg)
  return td
}
const cells = {
  num: (cell, run) => make("td", {class: "num", "data-best": cell.best, "data-base": run.is_baseline},
    make("span", {class: cell.text ? "v" : "v none"}, cell.best ? make("span", {class: "best", title: "The best of these"}, "★") : null, cell.text || "—"),
    cell.delta ? make("small", {"data-tone": cell.tone, title: cell.title}, cell.delta) : null),
  text: (cell, run) => make("td", {class: "text", "data-base": run.is_baseline, "data-other": cell.other},
    make("div", {class: cell.text === null ? "none" : ""}, cell.text === null ? "—" : cell.text)),
}
export default function ({data, parentElement}) {
  const wrap = parentElement.querySelector(".wrap")
  const old = wrap.querySelector(".box"), left = old?.scrollLeft ?? 0, top = old?.scrollTop ?? 0
  const first = make("tr", {}, make("th", {class: "name", scope: "col"}, data.first), data.sparks ? make("th", {scope: "col"}, "History") : null, ...data.runs.map(head))
  const body = make("tbody")
  for (const row of data.rows) {
    const tr = make("tr", {"data-key": row.key}, make("th", {class: "name", scope: "row", title: row.note}, row.key, row.mark ? make("small", {}, row.mark) : null))
    if (data.sparks) tr.append(spark(row.sparks, data.runs))
    row.cells.forEach((cell, place) => tr.append(cells[data.kind](cell, data.runs[place])))
    body.append(tr)
  }
  const box = make("div", {class: "box", tabindex: "0"}, make("table", {"aria-label": data.label}, make("thead", {}, first), body))
  wrap.replaceChildren(box, ...(data.foot ? [make("footer", {}, data.foot)] : []))
  box.scrollLeft = left; box.scrollTop = top
}
