/* What is drawn: pictures, bars, curves, tables. Each function draws one thing of what it is given. */

const SIDE = 28;
const element = (id) => document.getElementById(id);
const three = (value) => (value === 0 ? "0" : value.toPrecision(3));
const percent = (share) => `${(100 * share).toFixed(share > 0.995 || share < 0.005 ? 1 : 0)} %`;

/** Shades of grey, 0 black and 1 white. */
function paint(canvas, image, label) {
  const context = canvas.getContext("2d"), data = context.createImageData(SIDE, SIDE);
  image.forEach((value, i) => {
    const grey = Math.round(255 * clip(value));
    data.data.set([grey, grey, grey, 255], 4 * i);
  });
  context.putImageData(data, 0, 0);
  if (label) canvas.setAttribute("aria-label", label);
}

/** A signed value between −1 and 1 as blue, white, orange. */
function signed(value) {
  const much = Math.min(1, Math.abs(value)), fade = (full) => Math.round(255 + (full - 255) * much);
  return value < 0 ? [fade(20), fade(90), fade(170), 255] : [fade(200), fade(80), fade(10), 255];
}

/** A change, its largest pixel in full colour; returns that pixel's size. */
function paintChange(canvas, change) {
  let most = 0;
  change.forEach((value) => (most = Math.max(most, Math.abs(value))));
  const context = canvas.getContext("2d"), data = context.createImageData(SIDE, SIDE);
  change.forEach((value, i) => data.data.set(signed(most ? value / most : 0), 4 * i));
  context.putImageData(data, 0, 0);
  canvas.setAttribute("aria-label", `The change; no pixel by more than ${three(most)}`);
  return most;
}

/** First-layer filters, each scaled to its own largest weight. */
function paintFilters(canvas, layer, columns) {
  const down = Math.ceil(layer.rows / columns), cell = SIDE + 2;
  canvas.width = columns * cell;
  canvas.height = down * cell;
  const context = canvas.getContext("2d");
  for (let unit = 0; unit < layer.rows; unit++) {
    const weights = layer.w.subarray(unit * layer.columns, (unit + 1) * layer.columns);
    let most = 0;
    weights.forEach((value) => (most = Math.max(most, Math.abs(value))));
    const data = context.createImageData(SIDE, SIDE);
    weights.forEach((value, i) => data.data.set(signed(value / most), 4 * i));
    context.putImageData(data, (unit % columns) * cell + 1, Math.floor(unit / columns) * cell + 1);
  }
}

/** Probabilities as ten bars. */
function drawBars(shares, wanted) {
  const top = highest(shares), bars = element("bars");
  bars.replaceChildren(...Array.from(shares, (share, k) => {
    const bar = document.createElement("div"), fill = document.createElement("i");
    fill.style.height = `${(85 * share).toFixed(1)}%`;
    bar.className = k === top ? "top" : k === wanted ? "wanted" : "";
    bar.append(fill, String(k));
    return bar;
  }));
  bars.setAttribute("aria-label", `Probabilities: ${Array.from(shares, (s, k) => `${k} ${percent(s)}`).join(", ")}`);
}

/** A table from rows of text; a cell {text, fooled} is marked. */
function drawTable(place, caption, heads, rows) {
  const table = document.createElement("table");
  const row = (cells, kind) => {
    const line = document.createElement("tr");
    cells.forEach((cell, i) => {
      const one = document.createElement(kind === "th" || i === 0 ? "th" : "td");
      one.textContent = cell.text ?? cell;
      if (cell.fooled) one.className = "fooled";
      line.append(one);
    });
    return line;
  };
  const title = table.createCaption();
  title.textContent = caption;
  title.style.textAlign = "left";
  table.append(row(heads, "th"), ...rows.map((cells) => row(cells, "td")));
  place.replaceChildren(table);
}

const SVG = "http://www.w3.org/2000/svg";
function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/** One curve over passes, with a mark where a minimisation ended and a line at `now`. */
function curve(title, trace, of, now, logarithmic) {
  const width = 720, height = 130, left = 64, bottom = 20, right = 10, top = 22;
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: from ${three(of(trace[0]))} to ${three(of(trace.at(-1)))} in ${trace.at(-1).passes} passes` });
  const scaled = (value) => (logarithmic ? Math.log(value) : value);
  const values = trace.map((step) => scaled(of(step)));
  const least = logarithmic ? Math.min(...values) : 0, most = Math.max(...values) || 1;
  const across = (k) => left + ((width - left - right) * k) / Math.max(1, trace.length - 1);
  const up = (value) => height - bottom - ((height - bottom - top) * (value - least)) / (most - least || 1);
  const shown = (value) => three(logarithmic ? Math.exp(value) : value);
  chart.append(
    svg("line", { x1: left, x2: width - right, y1: up(least), y2: up(least), class: "rule" }),
    svg("text", { x: left, y: 11, class: "bold" }, title),
    svg("text", { x: left - 6, y: up(most) + 4, "text-anchor": "end" }, shown(most)),
    svg("text", { x: left - 6, y: up(least) + 4, "text-anchor": "end" }, shown(least)),
    svg("text", { x: width - right, y: height - 4, "text-anchor": "end" }, `${trace.at(-1).passes} passes`),
    svg("polyline", { points: values.map((value, k) => `${across(k)},${up(value)}`).join(" "), class: "line" }),
  );
  trace.forEach((step, k) => {
    if (step.kind === "success" || step.kind === "failure") {
      chart.append(svg("circle", { cx: across(k), cy: up(values[k]), r: 4, class: `mark ${step.kind}` }));
    }
  });
  chart.append(svg("line", { x1: across(now), x2: across(now), y1: top - 4, y2: height - bottom, class: "now" }));
  return chart;
}

/** Certified, proved and found distances on one line. */
function drawLine(place, { certified, optimum, found }) {
  const width = 720, left = 10, right = 10, y = 46, far = found * 1.15;
  const across = (value) => left + ((width - left - right) * value) / far;
  const chart = svg("svg", { viewBox: `0 0 ${width} 84`, role: "img", "aria-label": `No misread image within ${three(certified)}; the nearest found at ${three(found)}` });
  chart.append(
    svg("line", { x1: left, x2: width - right, y1: y, y2: y, class: "rule" }),
    svg("rect", { x: left, y: y - 9, width: Math.max(0, across(certified) - left), height: 18, class: "safe" }),
    svg("text", { x: across(certified), y: y - 16, "text-anchor": "middle" }, `proved safe to ${three(certified)}`),
    svg("circle", { cx: across(found), cy: y, r: 6, class: "found" }),
    svg("text", { x: across(found), y: y + 28, "text-anchor": "end", class: "bold" }, `found at ${three(found)}`),
  );
  if (optimum) {
    chart.append(
      svg("line", { x1: across(optimum), x2: across(optimum), y1: y - 14, y2: y + 14, class: "now" }),
      svg("text", { x: across(optimum), y: y - 32, "text-anchor": "end" }, `none nearer than ${three(optimum)}, proved`),
    );
  }
  place.replaceChildren(chart);
}
