// Files or a folder, announced by a manifest, sent by plain PUT with progress; sending the same again costs nothing.
const PIECE = 8 << 20
const AT_ONCE = 3
const LEFT_OUT = /(^|\/)(\.git|\.svn|\.venv|venv|node_modules|__pycache__|\.ipynb_checkpoints|\.mypy_cache|\.pytest_cache)\/|(^|\/)\.DS_Store$/
const held = new WeakMap()

const K = new Uint32Array(64)
for (let n = 2, i = 0; i < 64; n++) {
  let prime = true
  for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break }
  if (prime) K[i++] = (Math.cbrt(n) % 1) * 4294967296
}
class Sha256 {
  h = new Uint32Array([0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19])
  w = new Uint32Array(64); rest = new Uint8Array(64); held = 0; length = 0
  block(view, at) {
    const {w, h} = this
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(at + i * 4)
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15], b = w[i - 2]
      w[i] = w[i - 16] + w[i - 7] + ((a >>> 7 | a << 25) ^ (a >>> 18 | a << 14) ^ a >>> 3) + ((b >>> 17 | b << 15) ^ (b >>> 19 | b << 13) ^ b >>> 10)
    }
    let [a, b, c, d, e, f, g, k] = h
    for (let i = 0; i < 64; i++) {
      const t1 = k + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (e & f ^ ~e & g) + K[i] + w[i] | 0
      const t2 = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0
      k = g; g = f; f = e; e = d + t1 | 0; d = c; c = b; b = a; a = t1 + t2 | 0
    }
    h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += k
  }
  add(bytes) {
    this.length += bytes.length
    let at = 0
    if (this.held) {
      at = Math.min(64 - this.held, bytes.length)
      this.rest.set(bytes.subarray(0, at), this.held); this.held += at
      if (this.held < 64) return
      this.block(new DataView(this.rest.buffer), 0); this.held = 0
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (; at + 64 <= bytes.length; at += 64) this.block(view, at)
    this.rest.set(bytes.subarray(at)); this.held = bytes.length - at
  }
  hex() {
    const bits = this.length * 8, tail = new Uint8Array(this.held < 56 ? 64 : 128)
    tail.set(this.rest.subarray(0, this.held)); tail[this.held] = 0x80
    const view = new DataView(tail.buffer)
    view.setUint32(tail.length - 8, Math.floor(bits / 4294967296)); view.setUint32(tail.length - 4, bits >>> 0)
    for (let at = 0; at < tail.length; at += 64) this.block(view, at)
    return [...this.h].map(word => word.toString(16).padStart(8, "0")).join("")
  }
}
async function hash(file, tick) {
  const sum = new Sha256()
  for (let at = 0; at < file.size; at += PIECE) {
    sum.add(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer())); tick(Math.min(PIECE, file.size - at))
  }
  return sum.hex()
}
const size = bytes => {
  for (const unit of ["B", "kB", "MB", "GB"]) { if (bytes < 1000) return `${unit === "B" ? bytes : bytes.toFixed(1)} ${unit}`; bytes /= 1000 }
  return `${bytes.toFixed(1)} TB`
}
async function asked(method, url, body) {
  const answer = await fetch(url, {method, body: body && JSON.stringify(body), headers: body ? {"Content-Type": "application/json"} : {}})
  const said = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Error(said.detail || `The studio answered ${answer.status}.`)
  return said
}
const put = (url, blob, tick) => new Promise((done, fail) => {
  const request = new XMLHttpRequest()
  let before = 0
  request.open("PUT", url)
  request.upload.onprogress = event => { tick(event.loaded - before); before = event.loaded }
  request.onload = () => {
    if (request.status < 300) return done()
    let said = `The studio answered ${request.status}.`
    try { said = JSON.parse(request.responseText).detail || said } catch {}
    fail(new Error(said))
  }
  request.onerror = () => fail(new Error("The connection was lost; choose the files again to go on."))
  request.send(blob)
})

async function send(s, chosen, name, folder) {
  const files = chosen.filter(([path]) => !LEFT_OUT.test(path))
  const left = chosen.length - files.length
  if (!files.length) return tell(s, "There is no file to send.", true)
  const total = files.reduce((sum, [, file]) => sum + file.size, 0)
  let passed = 0
  const tick = (word, all) => count => { passed += count; s.bar.value = all ? passed / all : 1; s.said.textContent = `${word} ${size(passed)} of ${size(all)}` }
  s.bar.hidden = false; s.bar.value = 0; s.busy = true
  try {
    const read = tick("Reading", total), entries = []
    for (const [path, file] of files) entries.push({path, size: file.size, sha256: await hash(file, read)})
    const upload = await asked("POST", s.url, {kind: s.kind, entries})
    const by = new Map(files), missing = upload.missing.map(each => Array.isArray(each) ? each : [each.path, each.offset])
    passed = 0
    const sent = tick("Sending", missing.reduce((sum, [path, offset]) => sum + by.get(path).size - offset, 0))
    const queue = [...missing]
    const work = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const [path, offset] = next
        await put(`${s.url}/${upload.id}?${new URLSearchParams({path, offset})}`, by.get(path).slice(offset), sent)
      }
    }
    await Promise.all(Array.from({length: AT_ONCE}, work))
    if (!upload.complete) await asked("POST", `${s.url}/${upload.id}/seal`)
    const result = {id: upload.id, files: files.length, bytes: total, name, single: files.length === 1 ? files[0][0] : "", folder}
    done(s, result, left); s.set("upload", result)
  } catch (error) { tell(s, error.message, true) }
  s.bar.hidden = true; s.busy = false
}
function tell(s, text, bad) { s.said.textContent = text; bad ? s.said.setAttribute("data-bad", "") : s.said.removeAttribute("data-bad"); s.bar.hidden = true }
function done(s, result, left) {
  tell(s, "", false)
  const name = document.createElement("b"); name.textContent = result.name
  s.said.append(name, !result.files ? "" : ` · ${result.files} ${result.files === 1 ? "file" : "files"}, ${size(result.bytes)}${left ? ` (${left} left out)` : ""}`)
  s.clear.hidden = false
}
async function walked(entry, prefix) {
  if (entry.isFile) return [[prefix + entry.name, await new Promise((ok, no) => entry.file(ok, no))]]
  const reader = entry.createReader(), found = []
  for (;;) {
    const some = await new Promise((ok, no) => reader.readEntries(ok, no))
    if (!some.length) return found
    for (const inner of some) found.push(...await walked(inner, `${prefix}${entry.name}/`))
  }
}
const trimmed = (pairs, whole) => {
  const top = pairs[0]?.[0].split("/")[0]
  if (!pairs.every(([path]) => path.startsWith(`${top}/`))) return [pairs, pairs.length === 1 ? pairs[0][0] : `${pairs.length} files`, ""]
  return whole ? [pairs, top, top] : [pairs.map(([path, file]) => [path.slice(top.length + 1), file]), top, ""]
}

export default function ({data, parentElement, setStateValue}) {
  const one = name => parentElement.querySelector(name)
  let s = held.get(parentElement)
  if (!s) {
    s = {said: one(".said"), bar: one("progress"), clear: one(".clear")}
    held.set(parentElement, s)
    tell(s, data.hint, false)
  }
  s.url = data.url; s.kind = data.kind; s.set = setStateValue
  if (data.upload && !s.shown) { s.shown = true; done(s, data.upload, 0) }
  const choose = (input, pairs) => { const [files, name, top] = trimmed(pairs, data.whole); input && (input.value = ""); if (files.length && !s.busy) send(s, files, name, top) }
  const files = one(".files"), folder = one(".folder")
  files.onchange = () => choose(files, [...files.files].map(file => [file.name, file]))
  folder.onchange = () => choose(folder, [...folder.files].map(file => [file.webkitRelativePath, file]))
  one(".pick-files").onclick = () => files.click()
  one(".pick-folder").onclick = () => folder.click()
  s.clear.onclick = () => { s.clear.hidden = true; tell(s, data.hint, false); setStateValue("upload", null) }
  const zone = one(".drop")
  zone.ondragover = event => { event.preventDefault(); zone.setAttribute("data-over", "") }
  zone.ondragleave = () => zone.removeAttribute("data-over")
  zone.ondrop = async event => {
    event.preventDefault(); zone.removeAttribute("data-over")
    const entries = [...event.dataTransfer.items].map(item => item.webkitGetAsEntry()).filter(Boolean), found = []
    for (const entry of entries) found.push(...await walked(entry, ""))
    if (found.length) choose(null, found)
  }
}
