/* The paper's search of §4.1: the largest c whose minimiser of c‖r‖² + loss is still taken for the
   target. Each minimiser tells what c would end where the margin is 0; the next c is where the
   secant of two of them is 0, a little to the side of which less is known. */

const FACTOR = 4, PRECISION = 0.02, SOLVES = 30, LOOSE = 0.03, TIGHT = 1e-3;
const NOWHERE = 1e3, AFRESH = 5;
const INSIDE = [0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.35];

/** Yields, after every pass through the network, what it was at; returns the answer. */
function* searchPaper(network, image, target) {
  const descent = new Descent(Float64Array.from(image));
  let low = { x: -NOWHERE, ahead: NOWHERE }, high = { x: NOWHERE, ahead: -NOWHERE };
  let x = 0, best = null, passes = 0, solves = 0;

  const seen = (kind) => ({
    kind, passes, solves, c: descent.c, z: descent.z, shares: descent.told.shares,
    margin: descent.told.margin, distortion: distortion(descent.z, image), low, high,
  });

  descent.consume(network.evaluate(descent.trial, target));
  passes += 1;
  const { loss, margin } = descent.told;
  if (margin > 0) {
    return { found: true, already: true, z: descent.z, c: Infinity, passes, solves, distortion: 0 };
  }
  const linear = dot(descent.gradient, descent.gradient) / loss;
  if (!(linear > 0 && Number.isFinite(linear))) {
    return { found: false, already: false, z: descent.z, c: 0, passes, solves, distortion: NaN };
  }
  best = { z: descent.z, gradient: descent.gradient, told: descent.told };
  descent.theta = linear;
  descent.tolerance = LOOSE;
  descent.changeC(linear / 8);
  x = Math.log(descent.c);
  descent.measure();
  descent.aim();
  yield seen("start");

  for (;;) {
    descent.consume(network.evaluate(descent.trial, target));
    passes += 1;
    if (!descent.finished) {
      descent.aim();
      yield seen("step");
      continue;
    }
    solves += 1;
    const good = descent.told.margin > 0, now = { x, ahead: ahead(descent) };
    if (good) {
      low = now;
      best = { z: descent.z, gradient: descent.gradient, told: descent.told };
    } else {
      high = now;
    }
    yield seen(good ? "success" : "failure");
    const between = high.x - low.x;
    if (between <= Math.log1p(PRECISION) || solves >= SOLVES) break;
    if (!good && (low.x > -NOWHERE || solves >= AFRESH)) descent.restore(best);
    const share = low.ahead / (low.ahead - high.ahead);
    const reach = Math.min(
      0.27 * Math.log1p(PRECISION) * 2 ** Math.max(0, solves - 4), Math.log(FACTOR),
    );
    const inside = between < NOWHERE / 2 ? (INSIDE[solves] ?? 0.5) * between : 0;
    const aim = low.x + between * share - (share >= 0.5 ? reach : -reach);
    const next = Math.min(high.x - inside, Math.max(low.x + inside, aim));
    descent.tolerance = Math.min(LOOSE, Math.max(TIGHT, 2 * LOOSE * Math.abs(next - x)));
    x = next;
    descent.changeC(Math.exp(x));
    descent.aim();
  }
  const found = low.x > -NOWHERE;
  descent.restore(best);
  descent.c = found ? Math.exp(low.x) : descent.c;
  yield seen("answer");
  return {
    found, already: false, z: best.z, c: found ? Math.exp(low.x) : 0, passes, solves,
    distortion: found ? distortion(best.z, image) : NaN,
  };
}

/** How far, in ln c, the margin would be 0 if it grew evenly along r. */
function ahead(descent) {
  const { margin, squared } = descent.told, pulled = 2 * descent.c * squared;
  let odds = 1 + Math.exp(margin);
  odds *= pulled / Math.max(pulled - margin / odds, 1e-30);
  const most = Math.log(FACTOR);
  return Math.min(most, Math.max(-most, Math.log(odds) - Math.LN2));
}

/** The answer of a search without looking at its steps. */
function answerOf(search) {
  let step = search.next();
  while (!step.done) step = search.next();
  return step.value;
}
