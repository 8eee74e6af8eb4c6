// Follows our own links inside the running page (as Back and Forward do) and keeps relative times fresh.
export default function () {
  if (window.__atelierLinks) return
  window.__atelierLinks = true
  document.addEventListener("click", event => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    const anchor = event.composedPath().find(node => node instanceof HTMLAnchorElement)
    if (!anchor || !anchor.getAttribute("href")?.startsWith("/") || anchor.hasAttribute("data-reload") || anchor.hasAttribute("download")) return
    if (/^\/(files|auth|api|mlflow)\//.test(anchor.pathname)) return
    event.preventDefault()
    history.pushState({}, "", anchor.href)
    window.dispatchEvent(new PopStateEvent("popstate"))
    document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0)
  })
  // Chromium drops requests when a container starts on its own machine (a new network interface); a part of the
  // page that could not be loaded then is loaded with the page, once.
  window.addEventListener("vite:preloadError", () => {
    const last = Number(sessionStorage.getItem("atelier-reloaded") ?? 0)
    if (Date.now() - last < 10000) return
    sessionStorage.setItem("atelier-reloaded", String(Date.now()))
    location.reload()
  })
  const process = () => fetch("/healthz").then(answer => answer.headers.get("x-process")).catch(() => null)
  let born = null, away = false
  process().then(found => { born = found })
  // Dialogs and menus lie beside the app: without this they would be light in the dark.
  const scheme = () => {
    const app = document.querySelector(".stApp")
    if (app) document.documentElement.style.colorScheme = getComputedStyle(app).colorScheme
  }
  scheme()
  setInterval(() => {
    scheme()
    const isThere = document.querySelector("[data-testid=stApp]")?.dataset.testConnectionState === "CONNECTED"
    if (isThere && away) process().then(found => { if (born && found && found !== born) location.reload() })
    away = !isThere
  }, 500)
  const spoken = at => {
    const passed = Math.max(0, (Date.now() - at) / 1000)
    for (const [limit, unit, name] of [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [2592000, 86400, "d"]])
      if (passed < limit) return passed < 5 ? "just now" : `${Math.floor(passed / unit)} ${name} ago`
    return new Date(at).toISOString().slice(0, 10)
  }
  setInterval(() => document.querySelectorAll("time[data-ago]").forEach(node => {
    const text = spoken(Date.parse(node.dateTime))
    if (node.textContent !== text) node.textContent = text
  }), 5000)
}
