// What tiles there are, how they are called, and what may be set on each; the short form asks only the first fields.
const SMOOTHING = [["none", "None"], ["ema", "Exponential"], ["gaussian", "Gaussian"]]
const AXES = [["step", "Step"], ["time", "Wall time"], ["relative", "Time since start"], ["metric", "Another metric"]]
const MIDDLE = .6
const isSmoothed = tile => tile.smoothing && tile.smoothing !== "none"
const TYPES = {
  line: ["Line chart", "show_chart", [
    {name: "metrics", label: "Metrics", kind: "metrics", needed: true},
    {name: "x", label: "X axis", kind: "choice", of: AXES},
    {name: "x_metric", label: "Metric of the x axis", kind: "metric", when: tile => tile.x === "metric", needed: true},
    {name: "smoothing", label: "Smoothing", kind: "choice", of: SMOOTHING},
    {name: "weight", label: "Strength", kind: "slider", when: isSmoothed},
    {name: "group_by", label: "Group by", kind: "fields"},
    {name: "band", label: "Band around a group's mean", kind: "choice", of: [["std", "Standard deviation"], ["range", "Least to greatest"], ["none", "None"]], when: tile => tile.group_by?.length > 0},
    {name: "log_x", label: "Logarithmic x axis", kind: "check"},
    {name: "log_y", label: "Logarithmic y axis", kind: "check"},
    {name: "ignore_outliers", label: "Ignore outliers", kind: "check"},
    {name: "mark_best", label: "Mark the best value", kind: "check"}]],
  bar: ["Bar chart", "bar_chart", [{name: "value", label: "Value", kind: "field", needed: true}, {name: "group_by", label: "Group by", kind: "fields"}]],
  scatter: ["Scatter plot", "scatter_plot", [
    {name: "x", label: "X axis", kind: "field", needed: true},
    {name: "y", label: "Y axis", kind: "field", needed: true},
    {name: "color", label: "Colour", kind: "field"},
    {name: "size", label: "Size", kind: "field"},
    {name: "regression", label: "Regression line", kind: "check"}]],
  parallel: ["Parallel coordinates", "ssid_chart", [{name: "fields", label: "Axes", kind: "fields", needed: true, least: 2}, {name: "color", label: "Colour", kind: "field"}]],
  importance: ["Parameter importance", "leaderboard", [{name: "target", label: "Importance for", kind: "field", needed: true}]],
  contour: ["Contour", "landscape", [
    {name: "x", label: "X axis", kind: "field", needed: true},
    {name: "y", label: "Y axis", kind: "field", needed: true},
    {name: "z", label: "Height", kind: "field", needed: true}]],
  box: ["Box plot", "candlestick_chart", [{name: "value", label: "Value", kind: "field", needed: true}, {name: "group_by", label: "Group by", kind: "fields"}]],
  histogram: ["Histogram over time", "equalizer", [{name: "metric", label: "Metric", kind: "metric", needed: true}]],
  images: ["Images", "image", [{name: "pattern", label: "Name begins with", kind: "text", most: 200}]],
  table: ["Table", "table", [{name: "path", label: "Path of a logged table", kind: "text"}, {name: "fields", label: "Or columns of the runs", kind: "fields"}]],
  markdown: ["Text", "notes", [{name: "text", label: "Text in Markdown", kind: "long", needed: true}]],
  scalar: ["Single value", "looks_one", [{name: "value", label: "Value", kind: "field", needed: true}, {name: "pick", label: "Of each run", kind: "choice", of: [["last", "Last"], ["best", "Best"]]}]],
  resource: ["Resource use", "memory", [{name: "name", label: "Resource", kind: "choice", of: [["cpu", "CPU"], ["memory", "Memory"], ["gpu", "GPU"], ["disk", "Disk"], ["network", "Network"]]}]],
  compare: ["Comparison", "compare_arrows", [{name: "fields", label: "Rows", kind: "fields"}, {name: "baseline", label: "Baseline (a run's name)", kind: "run"}]],
}
const FIELD = /^(?:[a-z_]+\()?(?:metrics|params|tags)\.`?(.+?)`?\)?$/
const short = text => FIELD.exec(text)?.[1] ?? text
const listed = values => values.slice(0, 3).join(", ") + (values.length > 3 ? ` and ${values.length - 3} more` : "")
// A tile without a title is called by what it shows.
const called = tile => {
  if (tile.title) return tile.title
  switch (tile.type) {
    case "line": return listed(tile.metrics ?? [])
    case "scatter": return `${short(tile.y)} by ${short(tile.x)}`
    case "contour": return `${short(tile.z)} over ${short(tile.x)} and ${short(tile.y)}`
    case "importance": return `What matters for ${short(tile.target)}`
    case "bar": case "box": return short(tile.value) + (tile.group_by?.length ? ` by ${listed(tile.group_by.map(short))}` : "")
    case "scalar": return short(tile.value)
    case "histogram": return tile.metric
    case "images": return tile.pattern || "Images"
    case "table": return tile.path || "Runs"
    case "resource": return (TYPES.resource[2][0].of.find(([value]) => value === (tile.name ?? "cpu")) ?? ["", "Resource"])[1]
    default: return TYPES[tile.type]?.[0] ?? tile.type
  }
}
const sought = tile => [called(tile), tile.title, tile.type, tile.metrics, tile.metric, tile.x, tile.y, tile.z, tile.value, tile.fields, tile.target, tile.path, tile.pattern, tile.x_metric]
  .flat().filter(Boolean).join("\n").toLowerCase()
