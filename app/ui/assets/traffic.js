// Who gets how much: sliders that always sum to 100 (or to nothing), and copies of requests for deployments on trial.
const known = new WeakMap()
const clamp = value => Math.min(100, Math.max(0, Math.round(Number(value) || 0)))

// One moves to `value`; the others share the rest as they shared before.
const shared = (lines, at, value) => {
  const others = lines.filter((line, place) => place !== at && (line.ready || line.live))
  if (!others.length) { lines[at].live = value >= 50 ? 100 : 0; return }
  const before = others.reduce((sum, line) => sum + line.live, 0), rest = 100 - value
  const parts = others.map(line => before ? line.live / before * rest : line === others[0] ? rest : 0)
  others.forEach((line, place) => { line.live = Math.floor(parts[place]) })
  const order = parts.map((part, place) => [part - Math.floor(part), place]).sort((a, b) => b[0] - a[0])
  let left = rest - others.reduce((sum, line) => sum + line.live, 0)
  for (const [, place] of order) { if (left <= 0) break; others[place].live += 1; left -= 1 }
  lines[at].live = value
}

export default function ({data, parentElement, setStateValue}) {
  const root = parentElement.querySelector(".traffic")
  let s = known.get(parentElement)
  if (!s || s.mark !== data.mark) {
    s = {mark: data.mark, lines: data.lines.map(line => ({...line}))}
    known.set(parentElement, s)
  } else s.lines.forEach(line => { line.ready = data.lines.find(each => each.name === line.name)?.ready ?? line.ready })
  const {lines} = s
  const tell = () => setStateValue("split", {
    mark: s.mark,
    traffic: Object.fromEntries(lines.map(line => [line.name, line.live])),
    mirror: Object.fromEntries(lines.filter(line => line.mirror).map(line => [line.name, line.mirror])),
  })
  const sum = () => lines.reduce((total, line) => total + line.live, 0)
  const bar = make("div", {class: "bar", role: "img"}), said = make("p", {class: "sum"})
  const rows = lines.map((line, at) => {
    const stuck = data.locked || (!line.ready && !line.live)
    const why = stuck && !data.locked ? "It is not ready, so it takes no traffic." : null
    const slider = (label, kind) => make("input", {type: "range", min: 0, max: 100, step: 1, disabled: stuck, "aria-label": label, title: why, class: kind})
    const number = (label, kind) => make("input", {type: "number", min: 0, max: 100, step: 1, disabled: stuck, "aria-label": label, class: kind})
    const live = slider(`Traffic of ${line.name}`, "live"), percent = number(`Traffic of ${line.name} in percent`, "live")
    const copies = slider(`Mirrored traffic of ${line.name}`, "mirror"), copied = number(`Mirrored traffic of ${line.name} in percent`, "mirror")
    const on = make("input", {type: "checkbox", role: "switch", "aria-label": `Mirror traffic to ${line.name}`, disabled: stuck})
    live.oninput = () => { shared(lines, at, clamp(live.value)); paint() }
    percent.onchange = () => { shared(lines, at, clamp(percent.value)); paint(); tell() }
    copies.oninput = () => { line.mirror = clamp(copies.value); paint() }
    copied.onchange = () => { line.mirror = clamp(copied.value); paint(); tell() }
    on.onchange = () => { line.mirror = on.checked ? line.before || 10 : 0; paint(); tell() }
    for (const each of [live, copies]) each.onchange = tell
    const name = make("span", {class: "name"}, make("i", {class: "dot", "data-tone": line.tone}), make("b", {title: line.name}, line.name), make("small", {}, line.said))
    const node = make("div", {class: "line", "data-tone": line.tone}, name, live, make("label", {}, percent, "%"), make("span", {class: "switch"}, on), copies, make("label", {}, copied, "%"))
    return {node, live, percent, copies, copied, on}
  })
  const paint = () => {
    rows.forEach((row, at) => {
      const line = lines[at], off = data.locked || (!line.ready && !line.live)
      if (line.live === 100) line.mirror = 0
      if (line.mirror) line.before = line.mirror
      row.on.disabled = off || line.live === 100
      row.on.title = line.live === 100 ? "It gets every request already." : ""
      for (const each of [row.live, row.percent]) each.value = line.live
      for (const each of [row.copies, row.copied]) { each.value = line.mirror; each.disabled = off || !line.mirror }
      row.live.style.setProperty("--at", `${line.live}%`); row.copies.style.setProperty("--at", `${line.mirror}%`)
      row.on.checked = Boolean(line.mirror)
    })
    bar.replaceChildren(...lines.filter(line => line.live).map(line => make("i", {"data-tone": line.tone, style: {width: `${line.live}%`}, title: `${line.name} ${line.live} %`})))
    bar.setAttribute("aria-label", lines.filter(line => line.live).map(line => `${line.name} ${line.live} %`).join(", ") || "no traffic")
    said.textContent = sum() ? "The percentages sum to 100." : "Nobody answers: requests without a deployment's name are refused."
    said.toggleAttribute("data-none", !sum())
  }
  const give = parts => { lines.forEach((line, at) => { line.live = parts[at] }); paint(); tell() }
  const able = lines.map(line => line.ready)
  const preset = (text, parts) => make("button", {type: "button", disabled: data.locked, onclick: () => give(parts)}, text)
  const presets = lines.filter(line => line.ready).slice(0, 6).map(line => preset(`All to ${line.name}`, lines.map(each => each === line ? 100 : 0)))
  const count = able.filter(Boolean).length
  if (count > 1) {
    let nth = 0
    presets.push(preset("Evenly", lines.map((_, at) => able[at] ? Math.floor(100 / count) + (nth++ < 100 % count ? 1 : 0) : 0)))
  }
  presets.push(preset("No traffic", lines.map(() => 0)))
  const head = make("div", {class: "line head"}, make("span", {}, "Deployment"), make("span", {class: "over"}, "Live traffic"), make("span", {}), make("span", {class: "wide"}, "Mirrored: copies whose answers nobody sees"))
  root.replaceChildren(bar, make("div", {class: "presets"}, ...presets), make("div", {class: "lines"}, head, ...rows.map(row => row.node)), said)
  paint()
}
