/* What is chosen, what was found for it, and which parts of the page follow. */

const given = JSON.parse(element("data").textContent);
const networks = given.networks.map((one) => new Network(one));
const digits = (() => {
  const bytes = bytesOf(given.digits);
  return given.labels.map((label, k) => ({
    label, image: Float64Array.from(bytes.subarray(k * 784, (k + 1) * 784), (value) => value / 255),
  }));
})();

const state = { image: digits[0].image, digit: 0, network: networks[0], goal: "nearest", answer: null, seed: 1 };
let running = 0, playing = 0;

const pause = () => new Promise((resolve) => setTimeout(resolve));

function fillSelect(select, options) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
}

/** Whatever was found is of another question now. */
function reset() {
  running += 1;
  stop();
  state.answer = null;
  element("search").disabled = false;
  for (const id of ["result", "watch", "size"]) element(id).dataset.empty = "true";
  element("said").textContent = "Press Search.";
  for (const id of ["classes", "charts", "others", "line"]) element(id).replaceChildren();
  for (const id of ["change", "after", "scaled", "noise"]) paint(element(id), new Float64Array(784), "nothing yet");
  element("pass").max = element("pass").value = 0;
  element("pass-said").textContent = "";
  read();
}

/** What the network says of the image as it is. */
function read() {
  const { image, network } = state;
  paint(element("before"), image, "The image");
  const shares = probabilities(network.logits(image)), says = highest(shares);
  element("reading").textContent =
    `${network.name} reads a ${says} (${percent(shares[says])}). It misreads ${percent(network.error)} of digits it has not seen.`;
  drawBars(shares, state.goal === "nearest" ? -1 : Number(state.goal));
  drawProof();
  const first = network.layers[0];
  element("see-said").textContent = network.affine
    ? `${network.name} has no hidden units: these are the weights of its ten classes.`
    : `Weights of the ${Math.min(first.rows, 100)} first of ${first.rows} units of ${network.name}; blue is negative. The paper finds that directions drawn at random among such units mean as much as the units do.`;
  const shown = { ...first, rows: Math.min(first.rows, 100) };
  paintFilters(element("filters"), shown, network.affine ? 10 : 20);
  element("filters").setAttribute("aria-label", `${shown.rows} filters of the first layer`);
}

/** All passes of one search, kept to be looked at. */
function traced(network, image, target) {
  const search = searchPaper(network, image, target), trace = [];
  let step = search.next();
  for (; !step.done; step = search.next()) trace.push(step.value);
  return { ...step.value, target, trace };
}

async function search() {
  reset();
  const mine = running, { network, image, goal } = state, says = network.predict(image);
  element("search").disabled = true;
  element("said").textContent = "searching …";
  const wanted = goal === "nearest" ? digitsBut(says) : [Number(goal)], found = [];
  const began = performance.now();
  for (const target of wanted) {
    found.push(traced(network, image, target));
    await pause();
    if (mine !== running) return;
  }
  const took = performance.now() - began;
  element("search").disabled = false;
  const reached = found.filter((one) => one.found).sort((a, b) => a.distortion - b.distortion);
  if (!reached.length) {
    element("said").textContent = `${network.name} was not brought to read ${goal === "nearest" ? "any other digit" : `a ${goal}`}: the search found no such image.`;
    return;
  }
  if (reached[0].already) {
    element("said").textContent = `${network.name} reads a ${goal} already: no change is needed.`;
    return;
  }
  state.answer = { ...reached[0], says, found, took };
  show();
}

const digitsBut = (label) => Array.from({ length: 10 }, (_, k) => k).filter((k) => k !== label);

function show() {
  const { answer, image, network } = state;
  for (const id of ["result", "watch", "size"]) delete element(id).dataset.empty;
  const change = answer.z.map((value, i) => value - image[i]);
  const most = paintChange(element("change"), change);
  paint(element("after"), answer.z, `The image changed, read as ${answer.target}`);
  element("before-said").textContent = `read as ${answer.says}`;
  element("change-said").textContent = `the change, brightened: no pixel by more than ${three(most)}`;
  element("after-said").textContent = `read as ${answer.target}`;
  element("said").textContent =
    `A change of ${three(answer.distortion)} a pixel (√mean r²) makes ${network.name} read the ${answer.says} as ${answer.target}: found with ${answer.passes} passes${answer.found.length > 1 ? " for this class" : ""}, ${Math.round(answer.took)} ms in all.`;
  const others = answer.found.length > 1 ? answer.found : [];
  if (others.length) {
    drawTable(element("classes"), "Nearest image by the class that it is taken for", ["", ...others.map((one) => String(one.target))], [
      ["√mean r²", ...others.map((one) => ({ text: one.found ? three(one.distortion) : "none", fooled: one.target === answer.target }))],
    ]);
  }
  element("pass").max = answer.trace.length - 1;
  element("pass").value = answer.trace.length - 1;
  drawPass();
  drawSize();
  drawProof();
}

/** The search at one of its passes. */
function drawPass() {
  if (!state.answer) return;
  const { trace, target } = state.answer, now = Number(element("pass").value), step = trace[now];
  element("charts").replaceChildren(
    curve("c", trace, (one) => one.c, now, true),
    curve("distance of the point, √mean r²", trace, (one) => one.distortion, now, false),
    curve(`probability of ${target}`, trace, (one) => one.shares[target], now, false),
  );
  element("pass-said").textContent = `${step.passes}: c = ${three(step.c)}`;
  paint(element("after"), step.z, `The image at pass ${step.passes}, read as ${highest(step.shares)}`);
  element("after-said").textContent = `read as ${highest(step.shares)}`;
  paintChange(element("change"), step.z.map((value, i) => value - state.image[i]));
}

function stop() {
  clearInterval(playing);
  playing = 0;
  element("play").textContent = "Play";
}

function play() {
  if (playing) return stop();
  if (!state.answer) return;
  const slider = element("pass");
  if (Number(slider.value) >= Number(slider.max)) slider.value = 0;
  element("play").textContent = "Stop";
  playing = setInterval(() => {
    slider.value = Number(slider.value) + 1;
    drawPass();
    if (Number(slider.value) >= Number(slider.max)) stop();
  }, 90);
}

/** The change made longer or shorter, beside noise of the same length, before all networks. */
function drawSize() {
  if (!state.answer) return;
  const { image, answer } = state, scale = Number(element("scale").value);
  const scaled = image.map((value, i) => clip(value + scale * (answer.z[i] - value)));
  const noise = noisy(image, distortion(scaled, image) * SIDE, state.seed);
  element("scale-said").textContent = `× ${scale.toFixed(2)}, ${three(distortion(scaled, image))} a pixel`;
  paint(element("scaled"), scaled, "The image with the change of this length");
  paint(element("noise"), noise, "The image with noise of the same length");
  drawTable(element("others"), "What each network reads", ["", "the image", "with the change", "with noise"],
    networks.map((network) => readings(network, [image, scaled, noise])));
}

/** A line of a table: what a network reads, marked where it differs from the first. */
function readings(network, images) {
  const first = network.predict(images[0]);
  return [network.name, ...images.map((image) => {
    const shares = probabilities(network.logits(image)), says = highest(shares);
    return { text: `${says} (${percent(shares[says])})`, fooled: says !== first };
  })];
}

function drawProof() {
  const { network, image, answer } = state, says = network.predict(image);
  const certified = certifiedRadius(network, image) / SIDE;
  let text = `No change shorter than ${three(certified)} a pixel makes ${network.name} read anything but a ${says}: that follows from how fast the differences of its answers can change at all (§4.3). `;
  let optimum = null;
  if (answer && network.affine) {
    const bounds = answer.found.map((one) => nearestAffine(network, image, one.target).bound / SIDE);
    optimum = Math.min(...bounds);
    text += `It is a softmax network, for which the nearest image is the solution of a convex program: none lies nearer than ${three(optimum)}. The paper’s search ends ${(100 * (answer.distortion / optimum - 1)).toFixed(2)} % above that.`;
  } else if (answer) {
    text += `The nearest found lies at ${three(answer.distortion)}: the truth is between the two.`;
  }
  element("proof-said").textContent = text;
  if (answer) drawLine(element("line"), { certified, optimum, found: answer.distortion });
}

async function climb() {
  const { network } = state, goal = Number(element("fool-goal").value);
  const made = nonsense(network, goal, element("fool-start").value, state.seed);
  state.seed += 1;
  paint(element("nothing"), made.image, `An image of nothing, read as ${goal}`);
  element("nothing-said").textContent = made.found
    ? `${network.name} is ${percent(made.share)} sure of a ${goal}, after ${made.passes} passes`
    : `not reached: ${percent(made.share)} after ${made.passes} passes`;
  drawTable(element("fool-others"), "What each network reads", ["", "this image"],
    networks.map((other) => readings(other, [made.image])));
}

function chooseDigit(k) {
  state.digit = k;
  pad.show(digits[k].image);
  [...element("digits").children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === k)));
  state.image = digits[k].image;
  reset();
}

function drawn(image) {
  state.image = Float64Array.from(image);
  [...element("digits").children].forEach((button) => button.setAttribute("aria-pressed", "false"));
  reset();
}

const pad = new Pad(element("pad"), drawn);
element("digits").append(...digits.map(({ image, label }, k) => {
  const button = document.createElement("button"), canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  paint(canvas, image);
  button.type = "button";
  button.setAttribute("aria-label", `a ${label}, number ${k + 1}`);
  button.append(canvas);
  button.addEventListener("click", () => chooseDigit(k));
  return button;
}));
const classes = Array.from({ length: 10 }, (_, k) => [String(k), `a ${k}`]);
fillSelect(element("network"), networks.map((network, k) => [String(k), network.name]));
fillSelect(element("goal"), [["nearest", "any other digit"], ...classes]);
fillSelect(element("fool-goal"), classes);

element("network").addEventListener("change", (event) => {
  state.network = networks[Number(event.target.value)];
  reset();
});
element("goal").addEventListener("change", (event) => {
  state.goal = event.target.value;
  reset();
});
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
element("fool-form").addEventListener("submit", (event) => {
  event.preventDefault();
  climb();
});
element("clear").addEventListener("click", () => {
  pad.show(new Float64Array(784));
  drawn(pad.image);
  pad.canvas.focus();
});
element("another").addEventListener("click", () => chooseDigit((state.digit + 1) % digits.length));
element("pass").addEventListener("input", () => {
  stop();
  drawPass();
});
element("play").addEventListener("click", play);
element("scale").addEventListener("input", drawSize);
element("again").addEventListener("click", () => {
  state.seed += 1;
  drawSize();
});
chooseDigit(0);
