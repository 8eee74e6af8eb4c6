// Chooses columns: at the left those that are shown, in their order; at the right what there is, found by typing.
const held = new WeakMap()
const icon = (name, cls = "") => make("i", {class: `icon ${cls}`, "aria-hidden": "true"}, name)
const button = (glyph, label, onclick, props = {}) => make("button", {type: "button", "aria-label": label, title: label, onclick, ...props}, icon(glyph, props.class === "on" ? "full" : ""))
const quoted = name => /^[A-Za-z0-9_][A-Za-z0-9_./-]*$/.test(name) ? name : `\`${name.replaceAll("`", "``")}\``
const spelled = each => {
  if (each.kind === "attribute") return each.name
  const name = `${each.kind}.${quoted(each.name)}`
  if (each.aggregate === "at") return `at(${name}, ${each.step ?? 0})`
  return each.aggregate === "last" ? name : `${each.aggregate}(${name})`
}
const MARKS = {metrics: "metric", params: "param", tags: "tag"}
const HEADS = {metrics: "Metrics", params: "Parameters", tags: "Tags"}

export default function ({data, parentElement, setStateValue, setTriggerValue}) {
  const wrap = parentElement.querySelector(".wrap")
  let state = held.get(parentElement)
  if (!state) {
    state = {chosen: data.chosen.map(each => ({...each})), open: new Set(), text: data.search ?? ""}
    state.search = make("input", {type: "search", placeholder: "Search metrics, parameters, tags", "aria-label": "Search columns", value: state.text})
    state.left = make("div", {class: "list", role: "list"}); state.right = make("div", {class: "list"}); state.count = make("small")
    const done = what => setTriggerValue("done", what)
    wrap.replaceChildren(
      make("div", {class: "two"},
        make("section", {"aria-label": "Shown columns"}, make("header", {}, "Shown", state.count), state.left),
        make("section", {"aria-label": "Columns to choose from"}, make("header", {}, icon("search"), state.search), state.right)),
      make("footer", {}, make("button", {type: "button", onclick: () => done({reset: true})}, "Reset"),
        make("button", {type: "button", class: "main", onclick: () => done({columns: state.chosen.map(spelled), left: state.chosen.filter(each => each.left).map(spelled)})}, "Apply")))
    state.search.oninput = () => { clearTimeout(state.timer); state.timer = setTimeout(() => state.ask(state.search.value), 220) }
    held.set(parentElement, state)
  }
  state.ask = text => { if (text !== state.text) { state.text = text; setStateValue("search", text) } }
  const at = each => state.chosen.findIndex(other => other.kind === each.kind && other.name === each.name)
  const again = () => { shown(); offered() }

  const shown = () => {
    state.count.textContent = state.chosen.length
    state.left.replaceChildren(...state.chosen.map((each, place) => {
      const swap = to => { const [one] = state.chosen.splice(place, 1); state.chosen.splice(to, 0, one); again() }
      const aggregate = each.kind === "metrics" ? make("select", {"aria-label": `Which value of ${each.label}`, onchange: event => { each.aggregate = event.target.value; again() }},
        ...data.aggregates.map(name => make("option", {value: name, selected: name === each.aggregate}, name.replace("_", " "))), make("option", {value: "at", selected: each.aggregate === "at"}, "at step")) : null
      const step = each.aggregate === "at" ? make("input", {class: "step", type: "number", step: "1", value: each.step ?? 0, "aria-label": "Step", onchange: event => { each.step = Math.trunc(Number(event.target.value)) || 0 }}) : null
      const line = make("div", {class: "line drag", role: "listitem", draggable: "true", title: each.name}, make("span", {}, each.label), each.kind === "attribute" ? null : make("span", {class: "kind"}, MARKS[each.kind]), aggregate, step,
        button("keep", each.left ? "Unpin" : "Pin left", () => { each.left = !each.left; again() }, {class: each.left ? "on" : null, "aria-pressed": String(Boolean(each.left))}),
        button("arrow_upward", `Move ${each.label} up`, () => swap(place - 1), {disabled: place === 0}),
        button("arrow_downward", `Move ${each.label} down`, () => swap(place + 1), {disabled: place === state.chosen.length - 1}),
        button("close", `Remove ${each.label}`, () => { state.chosen.splice(place, 1); again() }))
      line.ondragstart = event => { state.dragged = place; line.classList.add("dragged"); event.dataTransfer.effectAllowed = "move" }
      line.ondragend = () => line.classList.remove("dragged")
      line.ondragover = event => { event.preventDefault(); line.classList.add("over") }
      line.ondragleave = () => line.classList.remove("over")
      line.ondrop = event => { event.preventDefault(); const [one] = state.chosen.splice(state.dragged, 1); state.chosen.splice(place, 0, one); again() }
      return line
    }))
    if (!state.chosen.length) state.left.append(make("p", {class: "none"}, "Only the run itself."))
  }
  const choice = (each, text) => {
    const box = make("input", {type: "checkbox", checked: at(each) >= 0})
    box.onchange = () => { const place = at(each); if (place >= 0) state.chosen.splice(place, 1); else state.chosen.push({...each, label: each.kind === "attribute" ? text : each.name, aggregate: "last", step: null, left: false}); shown() }
    return make("label", {class: "line", title: each.name}, box, make("span", {}, text))
  }
  const cutOf = name => name.includes("/") ? name.lastIndexOf("/") : name.lastIndexOf(".")
  const tree = ({kind, names, total, prefixes}) => {
    const alone = [], groups = new Map(Object.keys(prefixes).map(prefix => [prefix, []]))
    for (const name of names) (groups.get(name.slice(0, Math.max(0, cutOf(name)))) ?? alone).push(name)
    const parts = [make("h4", {}, HEADS[kind], make("small", {}, total.toLocaleString("en")))]
    for (const name of alone) parts.push(choice({kind, name}, name))
    for (const [prefix, members] of groups) {
      const key = `${kind}:${prefix}`, all = Math.max(prefixes[prefix], members.length)
      const inner = make("div", {}, ...members.map(name => choice({kind, name}, name.slice(prefix.length + 1) || name)))
      if (all > members.length) inner.append(make("button", {type: "button", class: "rest", onclick: () => { state.search.value = prefix; state.ask(prefix) }}, members.length ? `${(all - members.length).toLocaleString("en")} more` : `Show ${all.toLocaleString("en")}`))
      const fold = make("details", {open: state.open.has(key) || Boolean(state.text)}, make("summary", {}, icon("chevron_right"), prefix, make("small", {}, all.toLocaleString("en"))), inner)
      fold.ontoggle = () => fold.open ? state.open.add(key) : state.open.delete(key)
      parts.push(fold)
    }
    if (alone.length && total > names.length) parts.push(make("p", {class: "none"}, "More than are listed: type to find others."))
    return parts
  }
  const offered = () => {
    const words = state.text.toLowerCase()
    const attributes = data.attributes.filter(each => !words || each.label.toLowerCase().includes(words))
    const parts = data.kinds.filter(each => each.total).flatMap(tree)
    if (attributes.length) parts.push(make("h4", {}, "Of every run"), ...attributes.map(each => choice({kind: "attribute", name: each.id}, each.label)))
    const top = state.right.scrollTop
    state.right.replaceChildren(...parts.length ? parts : [make("p", {class: "none"}, "Nothing has this in its name.")])
    state.right.scrollTop = top
  }
  again()
  return () => { clearTimeout(held.get(parentElement)?.timer); held.delete(parentElement) }
}
