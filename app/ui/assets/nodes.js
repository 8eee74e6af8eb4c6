// Building with nodes, for all components: text only ever as text, addresses only our own.
const SVG = "http://www.w3.org/2000/svg"
const ours = address => /^\/(?!\/)/.test(address)
const set = (node, props) => {
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue
    if (key === "style" && typeof value === "object") for (const [name, each] of Object.entries(value)) name.startsWith("--") ? node.style.setProperty(name, each) : node.style[name] = each
    else if (key.startsWith("on")) node[key] = value
    else if (key === "href" || key === "src") { if (ours(value)) node.setAttribute(key, value) }
    else node.setAttribute(key, value === true ? "" : value)
  }
  return node
}
const make = (name, props = {}, ...children) => {
  const node = set(document.createElement(name), props)
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false))
  return node
}
const drawn = (name, props = {}, text = "") => {
  const node = set(document.createElementNS(SVG, name), props)
  if (text) node.textContent = text
  return node
}
