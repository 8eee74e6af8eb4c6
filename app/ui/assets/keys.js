// Addresses to copy, and keys that are not here before somebody asks for them.
const had = new WeakMap()
const copied = async text => {
  try { await navigator.clipboard.writeText(text); return } catch { /* a page without TLS has no clipboard of its own */ }
  const box = make("textarea", {style: {position: "fixed", opacity: "0"}})
  box.value = text
  document.body.append(box); box.select(); document.execCommand("copy"); box.remove()
}
export default function ({data, parentElement, setTriggerValue}) {
  const root = parentElement.querySelector(".lines")
  const said = button => { button.textContent = "Copied"; button.setAttribute("data-done", ""); setTimeout(() => { button.textContent = "Copy"; button.removeAttribute("data-done") }, 1500) }
  const ask = (line, verb) => () => setTriggerValue("asked", {verb, id: line.id})
  root.replaceChildren(...data.lines.map(line => {
    const shown = line.value !== null && !line.silent
    const code = make("code", {"data-hidden": shown ? null : true, "data-wrap": shown && line.secret ? true : null, title: shown ? line.value : null}, shown ? line.value : "•".repeat(24), line.note ? make("small", {}, line.note) : null)
    const copy = make("button", {type: "button", disabled: line.refused, title: line.refused, "aria-label": `Copy ${line.label}`}, "Copy")
    copy.onclick = line.value !== null && !line.silent ? () => copied(line.value).then(() => said(copy)) : ask(line, "copy")
    if (line.silent && line.value !== null && had.get(parentElement) !== line.nonce) { had.set(parentElement, line.nonce); copied(line.value).then(() => said(copy)) }
    const buttons = [copy]
    if (line.secret) buttons.unshift(make("button", {type: "button", disabled: line.refused, title: line.refused, "aria-label": `${shown ? "Hide" : "Show"} ${line.label}`, onclick: ask(line, shown ? "hide" : "show")}, shown ? "Hide" : "Show"))
    if (line.renewable) buttons.push(make("button", {type: "button", disabled: line.kept, title: line.kept, "aria-label": `Regenerate ${line.label}`, onclick: ask(line, "regenerate")}, "Regenerate"))
    return make("div", {class: "line"}, make("span", {}, line.label), code, make("div", {class: "does"}, ...buttons))
  }))
}
