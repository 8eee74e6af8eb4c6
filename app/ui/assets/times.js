// Times in words.
const ago = at => {
  const passed = Math.max(0, (Date.now() - at) / 1000)
  for (const [limit, unit, name] of [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [2592000, 86400, "d"]])
    if (passed < limit) return passed < 5 ? "just now" : `${Math.floor(passed / unit)} ${name} ago`
  return new Date(at).toISOString().slice(0, 10)
}
const spoken = seconds => {
  if (seconds < 10) return `${seconds.toFixed(1)}s`
  const whole = Math.floor(seconds), h = Math.floor(whole / 3600), m = Math.floor(whole % 3600 / 60), s = whole % 60
  const two = n => String(n).padStart(2, "0")
  return h ? `${h}h ${two(m)}m ${two(s)}s` : m ? `${m}m ${two(s)}s` : `${s}s`
}
