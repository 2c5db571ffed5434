/* What is proved. For a softmax network D(x, l) is a quadratic program, which its dual solves and
   bounds from below; for every network the Lipschitz constants of the differences of its logits,
   which the page carries, give a ball without any adversarial image. */

const SWEEPS = 400, CLOSE = 1e-6, FARTHEST = 1e6;

/** The nearest image in the box that an affine network takes for `target`, and a lower bound of
    its distance that holds whatever the solver did. Lengths are L2. */
function nearestAffine(network, image, target) {
  const { w, bias, rows, columns } = network.layers[0];
  const normals = [], floors = [];
  for (let j = 0; j < rows; j++) {
    if (j === target) continue;
    const a = new Float64Array(columns);
    for (let i = 0; i < columns; i++) a[i] = w[target * columns + i] - w[j * columns + i];
    normals.push(a);
    floors.push(bias[j] - bias[target] + 1e-9);
  }
  // max over λ ≥ 0 of min over z in the box of ½‖z − x‖² + Σ λⱼ(floorⱼ − aⱼz); z = clip(x + Σ λⱼaⱼ).
  const multipliers = new Float64Array(normals.length);
  const push = new Float64Array(columns);
  const behind = (j, more) => {
    let sum = floors[j], bent = 0;
    const a = normals[j];
    for (let i = 0; i < columns; i++) {
      const free = image[i] + push[i] + more * a[i];
      sum -= a[i] * clip(free);
      if (free > 0 && free < 1) bent += a[i] * a[i];
    }
    return [sum, bent];
  };
  const best = (j) => {
    let low = -multipliers[j], high = Infinity, more = 0;
    if (behind(j, low)[0] <= 0) return low;
    for (let k = 0; k < 60 && more < FARTHEST; k++) {
      const [lack, bent] = behind(j, more);
      if (Math.abs(lack) < 1e-12) break;
      if (lack > 0) low = more;
      else high = more;
      const newton = more + lack / bent;
      if (newton > low && newton < high) more = newton;
      else more = high < Infinity ? (low + high) / 2 : 2 * Math.max(more, 1);
    }
    return more;
  };
  for (let sweep = 0, moved = 1; sweep < SWEEPS && moved > CLOSE; sweep++) {
    moved = 0;
    normals.forEach((a, j) => {
      const more = best(j);
      multipliers[j] += more;
      for (let i = 0; i < columns; i++) push[i] += more * a[i];
      moved = Math.max(moved, Math.abs(more) / Math.max(multipliers[j], 1e-9));
    });
  }
  const z = Float64Array.from(image, (pixel, i) => clip(pixel + push[i]));
  let half = 0;
  for (let i = 0; i < columns; i++) half += (z[i] - image[i]) ** 2 / 2;
  normals.forEach((a, j) => {
    half += multipliers[j] * (floors[j] - dot(a, z));
  });
  return { z, bound: Math.sqrt(2 * Math.max(0, half)) };
}

/** A radius (L2) around an image within which the network says the same: every margin over the
    constant that bounds how fast it can change. */
function certifiedRadius(network, image) {
  const logits = Float64Array.from(network.logits(image)), label = highest(logits);
  let least = Infinity;
  for (let j = 0; j < logits.length; j++) {
    if (j !== label) least = Math.min(least, (logits[label] - logits[j]) / network.pairs[label][j]);
  }
  return least * (1 - 1e-9);
}
