// Buttons, numbers in words, menus and dialogs of the board: the browser's own.
const glyph = name => make("i", {class: "icon", "aria-hidden": "true"}, name)
const tool = (icon, label, onclick, props = {}) => make("button", {type: "button", class: "tool", title: label, "aria-label": label, onclick, ...props}, glyph(icon))
const button = (text, onclick, props = {}) => make("button", {type: "button", class: "button", onclick, ...props}, props.icon ? glyph(props.icon) : null, text)
const COLOR = /^(?:#[0-9a-f]{6}|rgba?\([\d., ]+\))$/i
const painted = color => COLOR.test(color ?? "") ? color : "var(--faint)"
const dot = color => make("i", {class: "dot", style: {background: painted(color)}, "aria-hidden": "true"})
const spoken = value => {
  if (value === null || value === undefined) return ""
  if (typeof value !== "number") return String(value)
  return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : String(value)
}
const within = (low, value, high) => Math.min(high, Math.max(low, value))

// A menu under what opened it: [icon, label, act] lines, null is a rule. Esc and a click elsewhere close it.
const menu = (anchor, lines, label) => {
  const box = make("div", {class: "menu", role: "menu", popover: "auto", "aria-label": label})
  const act = fn => () => { box.hidePopover(); fn() }
  box.append(...lines.filter(line => line !== false).map(line => line
    ? make("button", {type: "button", role: "menuitem", disabled: !line[2], title: line[3], onclick: line[2] && act(line[2])}, glyph(line[0]), make("span", {}, line[1]))
    : make("hr")))
  box.ontoggle = event => { if (event.newState === "closed") { anchor.setAttribute("aria-expanded", "false"); box.remove() } }
  box.onkeydown = event => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key]
    if (!step) return
    event.preventDefault()
    const all = [...box.querySelectorAll("button:enabled")]
    all[(all.indexOf(box.getRootNode().activeElement) + step + all.length) % all.length]?.focus()
  }
  anchor.after(box)
  anchor.setAttribute("aria-expanded", "true")
  box.showPopover()
  const from = anchor.getBoundingClientRect(), own = box.getBoundingClientRect()
  const below = from.bottom + 4 + own.height < innerHeight
  box.style.left = `${within(8, from.right - own.width, innerWidth - own.width - 8)}px`
  box.style.top = `${below ? from.bottom + 4 : Math.max(8, from.top - own.height - 4)}px`
  box.querySelector("button:enabled")?.focus()
}
// A dialog over the page; Esc, its cross and a click beside it close it.
const dialog = (s, title, parts, {wide = false, closed = null} = {}) => {
  const box = make("dialog", {class: wide ? "wide" : "", "aria-label": title})
  const close = () => box.close()
  box.append(make("header", {}, make("h2", {}, title), tool("close", "Close", close)), ...parts(close))
  box.onclose = () => { box.remove(); closed?.() }
  box.onpointerdown = event => { if (event.target === box) close() }
  s.wrap.append(box)
  box.showModal()
  return box
}
const save = (name, blob) => {
  const href = URL.createObjectURL(blob), link = document.createElement("a")
  link.href = href
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(href), 10_000)
}
const named = (title, ending) => `${title.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|-+$/g, "").slice(0, 80) || "chart"}.${ending}`
// What a spreadsheet would read as a formula is led by an apostrophe.
const quoted = value => {
  if (value === null || value === undefined) return ""
  if (typeof value === "number") return String(value)
  const text = /^[=+\-@\t\r]/.test(value) && !/^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(value) ? `'${value}` : String(value)
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
const csv = rows => new Blob(["\ufeff", rows.map(row => row.map(quoted).join(",")).join("\r\n"), "\r\n"], {type: "text/csv;charset=utf-8"})
