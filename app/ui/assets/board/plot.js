// Figures by Plotly, loaded once; colours of the theme; the buttons for full screen, pictures and data are our own.
let plotly = null
const loaded = () => plotly ??= globalThis.Plotly ? Promise.resolve(globalThis.Plotly) : new Promise((done, broken) => {
  const script = document.createElement("script")
  script.src = "/files/plotly.js"
  script.onload = () => globalThis.Plotly ? done(globalThis.Plotly) : broken(new Error("the chart program is not there"))
  script.onerror = () => { plotly = null; script.remove(); broken(new Error("the chart program did not load")) }
  document.head.append(script)
})
// Plotly writes its rules into the page; a component lives in a tree of its own and needs them there too.
const ruled = s => {
  if (s.isRuled) return
  const sheet = document.getElementById("plotly.js-style-global")?.sheet
  if (!sheet) return
  s.isRuled = true
  s.wrap.before(make("style", {}, [...sheet.cssRules].map(rule => rule.cssText).join("\n")))
}
const colors = s => {
  const probe = make("i", {class: "probe"})
  s.wrap.append(probe)
  const read = name => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color }
  const found = {text: read("--st-text-color"), muted: read("--muted"), faint: read("--faint"), grid: read("--grid"), line: read("--line"), page: read("--st-background-color"), card: read("--card")}
  found.font = getComputedStyle(s.wrap).fontFamily
  probe.remove()
  return found
}
const CROWD = 8
const LEGEND = 60
const themed = (s, figure, {legend = false, revision} = {}) => {
  const {text, muted, grid, line, card, font} = colors(s), from = figure.layout ?? {}
  const named = figure.data.filter(trace => trace.showlegend !== false && trace.name).length
  const layout = {...from, title: undefined, height: undefined, width: undefined, autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    uirevision: revision ?? "",
    font: {...from.font, family: font, color: muted, size: 11},
    margin: {l: 46, r: 12, t: 8, b: 34, ...from.margin},
    hoverlabel: {...from.hoverlabel, bgcolor: card, bordercolor: line, namelength: 48, font: {family: font, color: text, size: 12}},
    hovermode: named > CROWD ? "closest" : from.hovermode ?? "closest",
    showlegend: legend && named > 1 && named <= LEGEND,
    legend: {...from.legend, bgcolor: "rgba(0,0,0,0)", font: {size: 11, color: muted}}}
  for (const key of Object.keys(from).filter(each => /^[xy]axis\d*$/.test(each)).concat("xaxis", "yaxis"))
    layout[key] = {automargin: true, zeroline: false, ...from[key], gridcolor: grid, linecolor: line, zerolinecolor: line, tickfont: {color: muted, size: 11},
      title: {text: from[key]?.title?.text ?? "", font: {color: muted, size: 11.5}, standoff: 6}}
  return {data: figure.data, layout}
}
const CONFIG = {displayModeBar: false, displaylogo: false, showTips: false, doubleClick: "reset", responsive: false}
const plot = async (s, view, {figure, note}) => {
  const Plotly = await loaded()
  if (!view.body.isConnected) { view.key = null; return }
  if (!view.graph) {
    view.graph = make("div", {class: "plot"})
    view.sizes.observe(view.graph)
  }
  // First what stands below it: Plotly takes the room that is left.
  view.body.replaceChildren(view.graph, ...[legend(view, figure), note && make("p", {class: "note"}, note)].filter(Boolean))
  const {type, metrics, x, y, log_x, log_y} = view.tile
  const drawn = themed(s, figure, {revision: JSON.stringify([type, metrics, x, y, log_x, log_y, view.zoom])})
  await Plotly.react(view.graph, drawn.data, drawn.layout, CONFIG)
  ruled(s)
  view.graph.removeAllListeners?.("plotly_hover")
  view.graph.removeAllListeners?.("plotly_unhover")
  view.graph.on("plotly_hover", event => point(view, event.points.length === 1 ? event.points[0].fullData : null))
  view.graph.on("plotly_unhover", () => point(view, null))
}
// What is pointed at, in the chart or in the legend, stands out with all that belongs to the same run.
const point = (view, trace) => {
  const isSame = other => trace.meta?.run ? other?.meta?.run === trace.meta.run : other?.name === trace.name
  for (const node of view.graph.querySelectorAll(".scatterlayer .trace")) node.classList.toggle("faint", Boolean(trace) && !isSame(node.__data__?.[0]?.trace))
}
// One line of names; Plotly's own legend takes a third of a small chart.
const legend = (view, figure) => {
  const traces = figure.data.filter(trace => trace.showlegend !== false && trace.name)
  const color = trace => [trace.line?.color, trace.marker?.color].find(each => typeof each === "string")
  if (traces.length < 2 || traces.length > LEGEND || !traces.every(color)) return null
  return make("div", {class: "legend"}, traces.map(trace => {
    const name = unescaped(trace.name)
    return make("span", {title: name, onpointerenter: () => point(view, trace), onpointerleave: () => point(view, null)}, dot(color(trace)), name)
  }))
}
const clear = view => {
  if (view.graph) globalThis.Plotly?.purge(view.graph)
  view.graph = null
}
const resized = view => {
  if (view.graph?.isConnected && view.graph.clientWidth) globalThis.Plotly?.Plots.resize(view.graph)
  view.fitted?.()
}
const picture = async (s, view, format) => {
  const Plotly = await loaded(), {page} = colors(s), {data, layout} = themed(s, view.answer.figure, {legend: true})
  const title = {text: escaped(called(view.tile)), font: {size: 14}, x: 0.02, xanchor: "left"}
  const width = Math.max(640, view.body.clientWidth), height = Math.max(400, view.body.clientHeight)
  const found = await Plotly.toImage({data, layout: {...layout, title, paper_bgcolor: page, plot_bgcolor: page, margin: {...layout.margin, t: 48}}}, {format, width, height, scale: format === "png" ? 2 : 1})
  if (format === "svg") return new Blob([decodeURIComponent(found.slice(found.indexOf(",") + 1))], {type: "image/svg+xml"})
  return (await fetch(found)).blob()
}
// Plotly reads a little HTML in its texts.
const escaped = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").slice(0, 120)
const unescaped = text => typeof text === "string" ? text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&") : text
const ARRAYS = {f4: Float32Array, f8: Float64Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array}
const values = array => {
  if (Array.isArray(array) || ArrayBuffer.isView(array)) return [...array]
  if (!array?.bdata) return []
  const bytes = Uint8Array.from(atob(array.bdata), each => each.charCodeAt(0)), flat = [...new ARRAYS[array.dtype](bytes.buffer)]
  const columns = Number(String(array.shape ?? "").split(",")[1])
  return columns ? Array.from({length: flat.length / columns}, (_, row) => flat.slice(row * columns, (row + 1) * columns)) : flat
}
const PARTS = ["x", "y", "z", "text"]
const rowsOf = figure => {
  const rows = []
  const used = PARTS.filter(part => figure.data.some(trace => values(trace[part]).length))
  for (const trace of figure.data) {
    const name = unescaped(trace.name ?? ""), run = trace.meta?.run ?? "", found = Object.fromEntries(used.map(part => [part, values(trace[part])]))
    if (Array.isArray(found.z?.[0])) found.z.forEach((line, y) => line.forEach((z, x) => rows.push([name, run, ...used.map(part => ({x: found.x[x] ?? x, y: found.y?.[y] ?? y, z})[part] ?? "")])))
    else for (let at = 0; at < Math.max(0, ...used.map(part => found[part].length)); at++) rows.push([name, run, ...used.map(part => unescaped(found[part][at] ?? ""))])
  }
  return [["name", "run", ...used], ...rows]
}
