"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const images = data.images, groups = data.groups;
  const $ = (id) => document.getElementById(id);
  const node = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const count = (n) => n.toLocaleString("en");
  const fixed = (x) => { const text = x.toFixed(3); return text === "-0.000" ? "0.000" : text.replace("-", "−"); };
  const signed = (x) => (x < 0 ? "−" : "") + String(Math.abs(x));

  // Sheets are decoded when first needed: one CSS rule each, so that thumbnails stay small.
  const rules = node("style");
  document.head.append(rules);
  const wanted = new Set();
  const sheetClass = (sheet) => {
    if (!wanted.has(sheet)) {
      wanted.add(sheet);
      rules.sheet.insertRule(`.sheet${sheet}{background-image:url(${images.sheets[sheet]})}`);
    }
    return `sheet${sheet}`;
  };
  const down = (sheet) => Math.ceil(
    Math.min(images.perSheet, images.ids.length - sheet * images.perSheet) / images.across);

  function place(element, image, side, box) {
    const sheet = Math.floor(image / images.perSheet), at = image % images.perSheet;
    const w = images.tileWidth, h = images.tileHeight;
    const seen = box
      ? [box[1] / images.width * w, box[0] / images.height * h, (box[3] - box[1]) / images.width * w, (box[2] - box[0]) / images.height * h]
      : [0, 0, w, h];
    const scale = side / Math.max(seen[2], seen[3]);
    const left = (at % images.across) * w + seen[0], top = Math.floor(at / images.across) * h + seen[1];
    element.classList.add(sheetClass(sheet));
    if (w < 48) element.classList.add("pixelated");
    element.style.width = `${seen[2] * scale}px`;
    element.style.height = `${seen[3] * scale}px`;
    element.style.backgroundSize = `${images.across * w * scale}px ${down(sheet) * h * scale}px`;
    element.style.backgroundPosition = `${-left * scale}px ${-top * scale}px`;
  }
  const label = (image) => images.classes[images.labels[image]];

  function thumb(image, side, box, value) {
    const made = node("button", { type: "button", className: "thumb", title: `${label(image)} · ${images.ids[image]}${value === undefined ? "" : ` · ${signed(value)}`}` });
    made.setAttribute("aria-label", `${label(image)}, ${images.ids[image]}`);
    made.dataset.image = image;
    place(made, image, side, box);
    return made;
  }

  // ---- browse ------------------------------------------------------------------------------
  const entries = groups.flatMap((group, g) => group.numbers.map((_, d) => ({ g, d })));
  const layers = [...new Set(groups.map((group) => group.layer))];
  const bases = [...new Set(groups.map((group) => group.basis))];
  const measures = [...new Set(groups.flatMap((group) => Object.keys(group.measures)))];
  const fill = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => node("option", { value, textContent: text })));
  fill($("layer"), [["", "all"], ...layers.map((name) => [name, name])]);
  fill($("basis"), [["", "all"], ...bases.map((name) => [name, name])]);
  fill($("sort"), [...measures.map((name) => [name, name]), ["value", "strongest activation"], ["number", "number"]]);
  $("crop-label").hidden = !groups.some((group) => group.boxes);
  $("summary").textContent = `${count(entries.length)} directions of ${layers.length} ${layers.length > 1 ? "layers" : "layer"}, ${bases.join(" and ")}; the top images are of ${count(images.total)}`;

  const measured = ({ g, d }, name) => {
    if (name === "number") return groups[g].numbers[d];
    if (name === "value") return groups[g].values.positive[d][0];
    return groups[g].measures[name]?.values[d] ?? null;
  };

  let shown = [], watcher = null;
  function browse() {
    const layer = $("layer").value, basis = $("basis").value, sort = $("sort").value;
    const least = $("least").value === "" ? -Infinity : Number($("least").value);
    const find = $("find").value.trim(), silent = $("silent").checked, order = Number($("order").value);
    shown = entries.filter((entry) => {
      const group = groups[entry.g], value = measured(entry, sort);
      return (!layer || group.layer === layer) && (!basis || group.basis === basis)
        && (silent || group.responds[entry.d])
        && (find === "" || String(group.numbers[entry.d]) === find)
        && (least === -Infinity || (value !== null && value >= least));
    });
    const key = (entry) => measured(entry, sort);
    shown.sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === null || y === null) return (x === null) - (y === null);
      return order * (x - y) || a.g - b.g || a.d - b.d;
    });
    watcher?.disconnect();
    watcher = new IntersectionObserver((seen) => {
      for (const one of seen) {
        if (one.isIntersecting && !one.target.childElementCount) draw(one.target);
        else if (!one.isIntersecting && one.target.childElementCount && !one.target.contains(document.activeElement)) one.target.replaceChildren();
      }
    }, { rootMargin: "900px 0px" });
    const cards = shown.map((entry) => {
      const card = node("li", { className: "card" });
      card.dataset.key = `${entry.g}/${groups[entry.g].numbers[entry.d]}`;
      card.entry = entry;
      return card;
    });
    $("cards").replaceChildren(...cards);
    cards.forEach((card) => watcher.observe(card));
    const hidden = entries.filter(({ g, d }) => !groups[g].responds[d]).length;
    $("count").textContent = `${count(shown.length)} of ${count(entries.length)} shown${hidden && !silent ? `; ${count(hidden)} are silent on these images` : ""}`;
    $("verdict").textContent = layer && data.verdicts[layer] ? data.verdicts[layer] : "";
  }

  function draw(card) {
    const { g, d } = card.entry, group = groups[g], number = group.numbers[d];
    const head = node("h3", {}, node("span", { textContent: `${group.layer} · ${group.word} ${number}` }), node("small", { textContent: group.basis }));
    const crop = $("crop").checked && group.boxes;
    // One line a sign where that leaves images of 26 pixels or more.
    const side = Math.max(26, Math.min(38, Math.floor((card.clientWidth - 52) / group.images.positive[d].length) - 3));
    const strip = (sign, mark, word) => {
      const row = node("div", { className: "strip" }, node("span", { className: "sign", textContent: mark, title: word }));
      const values = group.values[sign]?.[d] ?? [];
      // After a ReLU most images tie at 0: which of them come first says nothing of the unit.
      if (sign === "negative" && values.length > 1 && values.every((value) => value === values[0]))
        row.append(node("span", { className: "tie", textContent: `no image stands out: ${values.length} or more tie at the least, ${signed(values[0])}` }));
      else (group.images[sign]?.[d] ?? []).forEach((image, rank) =>
        row.append(thumb(image, side, crop ? group.boxes[sign][d][rank] : null, values[rank])));
      return row;
    };
    const near = node("p", { className: "near" }, "nearest: ");
    group.near[d].forEach(([basis, other, cosine], i) => {
      const button = node("button", { type: "button", textContent: `${basis} ${other}` });
      button.addEventListener("click", () => jump(group.layer, basis, other));
      near.append(i ? ", " : "", button, ` ${cosine.toFixed(2).replace("-", "−")}`);
    });
    const list = node("ul", { className: "measures" });
    for (const [name, one] of Object.entries(group.measures)) {
      const value = one.values[d];
      const item = node("li", {}, `${name} `, node("b", { textContent: value === null ? "–" : fixed(value) }), ` (chance ${fixed(one.chance)})`);
      if (value !== null && (value > one.high || value < one.low)) item.className = "high";
      list.append(item);
    }
    const [low, high] = group.histograms[d];
    card.replaceChildren(
      head, node("p", { className: "share", textContent: shares(group.images.positive[d]) }),
      strip("positive", "+", "the greatest activations"), strip("negative", "−", "the least activations"),
      node("div", { className: "below" },
        node("div", {}, histogram(group, d), node("div", { className: "scale" }, node("span", { textContent: signed(low) }), node("span", { textContent: signed(high) }))), near),
      list);
  }

  function shares(row) {
    const counts = new Map();
    row.forEach((image) => counts.set(label(image), (counts.get(label(image)) ?? 0) + 1));
    const sorted = [...counts].sort((a, b) => b[1] - a[1]);
    const said = sorted.slice(0, 3).map(([name, n]) => (n > 1 ? `“${name}” ×${n}` : `“${name}”`)).join(", ");
    return said + (sorted.length > 3 ? " …" : "");
  }

  function histogram(group, d) {
    const [low, high, counts] = group.histograms[d];
    const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 100 30");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Histogram of its activations from ${low} to ${high}`);
    const top = Math.sqrt(Math.max(...counts, 1)), step = 100 / counts.length;
    counts.forEach((n, i) => {
      const bar = document.createElementNS(space, "rect"), tall = 26 * Math.sqrt(n) / top;
      for (const [key, value] of Object.entries({ x: i * step, y: 26 - tall, width: step * 0.92, height: tall })) bar.setAttribute(key, value);
      svg.append(bar);
    });
    const marks = document.createElementNS(space, "path");
    marks.setAttribute("d", group.values.positive[d].map((value) => `M${100 * (value - low) / (high - low || 1)} 27v3`).join(""));
    marks.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(marks);
    return svg;
  }

  function jump(layer, basis, number) {
    $("image").close();
    select("browse");
    $("layer").value = layer; $("basis").value = basis; $("find").value = ""; $("least").value = ""; $("silent").checked = true;
    browse();
    const g = groups.findIndex((group) => group.layer === layer && group.basis === basis);
    const card = [...$("cards").children].find((one) => one.dataset.key === `${g}/${number}`);
    if (!card) return;
    draw(card);
    card.classList.add("found");
    card.tabIndex = -1;
    card.scrollIntoView({ block: "center", behavior: "instant" });
    card.focus({ preventScroll: true });
  }

  // ---- an image, and what it excites -------------------------------------------------------
  function open(image) {
    $("image-title").textContent = `${label(image)} · ${images.ids[image]}`;
    const thumbnail = () => {
      const sprite = node("div", { className: "sprite" });
      sprite.setAttribute("role", "img");
      sprite.setAttribute("aria-label", label(image));
      place(sprite, image, 280, null);
      return sprite;
    };
    if (images.full) {
      const full = node("img", { src: images.full[image], alt: `${label(image)}, at the size the network sees`, width: images.width, height: images.height });
      full.addEventListener("error", () => full.replaceWith(thumbnail(), node("p", { className: "muted", textContent: "The original is not beside this page, in units-images/; this is its thumbnail." })));
      $("image-full").replaceChildren(full);
    } else $("image-full").replaceChildren(thumbnail());
    $("image-units").replaceChildren(...groups.map((group) => {
      const row = node("p", { className: "near" }, node("b", { textContent: `${group.layer}, ${group.basis}: ` }));
      group.strongest[image].forEach((number, i) => {
        const button = node("button", { type: "button", textContent: `${group.word} ${number}` });
        button.addEventListener("click", () => jump(group.layer, group.basis, number));
        row.append(i ? ", " : "", button, ` ${signed(group.strength[image][i])}σ`);
      });
      return row;
    }));
    if (!$("image").open) $("image").showModal();
  }
  document.addEventListener("click", (event) => {
    const target = event.target.closest(".thumb");
    if (target && !target.closest("#quiz-row")) open(Number(target.dataset.image));
  });
  $("image").addEventListener("click", (event) => { if (event.target === $("image")) $("image").close(); });

  // ---- the blind quiz ----------------------------------------------------------------------
  const quiz = { rows: [], answers: [], at: 0, seed: 0 };
  fill($("quiz-layer"), [["", "all"], ...layers.map((name) => [name, name])]);
  fill($("quiz-basis"), bases.filter((name) => name !== "natural").map((name) => [name, name]));
  if (bases.includes("random")) $("quiz-basis").value = "random";

  function random(seed) { // mulberry32
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }
  function shuffled(list, next) {
    const copy = [...list];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [copy[i], copy[j]] = [copy[j], copy[i]];
    }
    return copy;
  }

  function start(event) {
    event.preventDefault();
    const layer = $("quiz-layer").value, against = $("quiz-basis").value, wanted = Number($("quiz-rows").value);
    quiz.seed = Number($("quiz-seed").value);
    const next = random(quiz.seed);
    const of = (basis) => entries.filter(({ g, d }) => groups[g].basis === basis && groups[g].responds[d] && (!layer || groups[g].layer === layer));
    const a = shuffled(of("natural"), next), b = shuffled(of(against), next);
    const each = Math.min(wanted, a.length, b.length);
    if (!(each >= 1)) {
      $("quiz-problem").textContent = "There are no units and random directions to compare here; run with --basis natural random.";
      return;
    }
    $("quiz-problem").textContent = "";
    quiz.against = against;
    quiz.layer = layer;
    quiz.rows = shuffled([...a.slice(0, each), ...b.slice(0, each)], next);
    quiz.answers = [];
    quiz.at = 0;
    show("quiz-play");
    ask();
  }
  function show(part) { for (const id of ["quiz-start", "quiz-play", "quiz-end"]) $(id).hidden = id !== part; }
  function ask() {
    const { g, d } = quiz.rows[quiz.at], group = groups[g];
    $("quiz-progress").textContent = `Row ${quiz.at + 1} of ${quiz.rows.length}`;
    const side = parseFloat(getComputedStyle($("quiz-row")).getPropertyValue("--side")) || 0;
    $("quiz-row").replaceChildren(...group.images.positive[d].map((image) => {
      const made = node("span", { className: "thumb" });
      made.setAttribute("role", "img");
      made.setAttribute("aria-label", "image");
      place(made, image, Math.max(side, Math.min(96, window.innerWidth / 10)), null);
      return made;
    }));
  }
  function answer(related) {
    quiz.answers[quiz.at++] = related;
    if (quiz.at < quiz.rows.length) ask(); else score();
  }
  function wilson(hits, total, z = 1.959963984540054) {
    if (!total) return [0, 1];
    const p = hits / total, denominator = 1 + z * z / total, middle = (p + z * z / (2 * total)) / denominator;
    const half = z * Math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / denominator;
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
  }
  function tally() {
    const counted = { natural: [0, 0], [quiz.against]: [0, 0] };
    quiz.answers.forEach((related, i) => {
      const of = counted[groups[quiz.rows[i].g].basis];
      of[1] += 1;
      of[0] += related ? 1 : 0;
    });
    const scored = Object.entries(counted).map(([basis, [related, rows]]) => {
      const [low, high] = wilson(related, rows);
      return { basis, related, rows, share: rows ? related / rows : null, low, high };
    });
    const [a, b] = scored, difference = (a.share ?? 0) - (b.share ?? 0);
    // Newcombe (1998), method 10: from the two Wilson intervals.
    const low = difference - Math.hypot((a.share ?? 0) - a.low, b.high - (b.share ?? 0));
    const high = difference + Math.hypot(a.high - (a.share ?? 0), (b.share ?? 0) - b.low);
    return { scored, difference, low, high };
  }
  function score() {
    quiz.answers.length = quiz.at;
    const result = tally();
    const percent = (x) => `${(100 * x).toFixed(0)} %`;
    $("quiz-table").replaceChildren(
      node("thead", {}, node("tr", {}, ...["Basis", "Related", "Rows", "Share", "95 % interval"].map((text) => node("th", { textContent: text, scope: "col" })))),
      node("tbody", {}, ...result.scored.map((one) => node("tr", {}, node("th", { textContent: one.basis, scope: "row" }),
        ...[one.related, one.rows, one.share === null ? "–" : percent(one.share), `${percent(one.low)} to ${percent(one.high)}`].map((text) => node("td", { textContent: String(text) }))))));
    const told = result.low > 0 ? "You found the units’ rows related more often." : result.high < 0 ? "You found the random directions’ rows related more often." : "These answers do not tell the two apart.";
    $("quiz-sentence").textContent = `${told} Natural less ${quiz.against}: ${(100 * result.difference).toFixed(0)} points, 95 % interval ${(100 * result.low).toFixed(0)} to ${(100 * result.high).toFixed(0)}.`.replaceAll("-", "−");
    const rows = quiz.answers.map((related, i) => {
      const { g, d } = quiz.rows[i], group = groups[g];
      return { row: i, layer: group.layer, basis: group.basis, direction: group.numbers[d], related, images: group.images.positive[d].map((image) => images.ids[image]) };
    });
    const record = { command: data.command, layer: quiz.layer || "all", against: quiz.against, seed: quiz.seed, ...result, rows };
    const link = (id, text, type) => {
      URL.revokeObjectURL($(id).href);
      $(id).href = URL.createObjectURL(new Blob([text], { type }));
    };
    link("quiz-json", JSON.stringify(record, null, 1), "application/json");
    // What a spreadsheet would compute stands behind an apostrophe.
    const cell = (value) => `"${(typeof value === "string" && /^[\s=+@＝＋－＠-]/.test(value) ? "'" : "") + String(value).replaceAll('"', '""')}"`;
    const lines = rows.map((row) => [row.row, row.layer, row.basis, row.direction, row.related ? 1 : 0, row.images.join(" ")].map(cell).join(","));
    link("quiz-csv", ["row,layer,basis,direction,related,images", ...lines].join("\n") + "\n", "text/csv");
    quiz.record = record;
    show("quiz-end");
    $("quiz-title").focus();
  }
  $("quiz-form").addEventListener("submit", start);
  $("quiz-yes").addEventListener("click", () => answer(true));
  $("quiz-no").addEventListener("click", () => answer(false));
  $("quiz-back").addEventListener("click", () => { if (quiz.at) { quiz.at -= 1; ask(); } });
  $("quiz-stop").addEventListener("click", score);
  $("quiz-again").addEventListener("click", () => show("quiz-start"));
  document.addEventListener("keydown", (event) => {
    if ($("quiz").hidden || $("quiz-play").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const press = { y: "quiz-yes", n: "quiz-no", ArrowLeft: "quiz-back" }[event.key];
    if (press) { event.preventDefault(); $(press).click(); }
  });

  // ---- tabs --------------------------------------------------------------------------------
  function select(name) {
    for (const one of ["browse", "quiz"]) {
      $(one).hidden = one !== name;
      $(`tab-${one}`).setAttribute("aria-selected", String(one === name));
      $(`tab-${one}`).tabIndex = one === name ? 0 : -1;
    }
  }
  for (const one of ["browse", "quiz"]) $(`tab-${one}`).addEventListener("click", () => select(one));
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = $("browse").hidden ? "browse" : "quiz";
    select(other);
    $(`tab-${other}`).focus();
  });
  for (const id of ["layer", "basis", "sort", "order", "silent", "crop"]) $(id).addEventListener("change", browse);
  for (const id of ["least", "find"]) $(id).addEventListener("input", browse);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  if (location.hash === "#quiz") select("quiz");
  browse();
  window.units = { data, quiz, tally, wilson };
})();
