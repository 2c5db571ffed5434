/* Images that a network reads with confidence and people do not: from noise or from grey, climb the
   probability of a class until it is at least 99 %. */

const CONFIDENT = 0.99, CLIMBS = 400;

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A vector of independent standard normal numbers (Box and Muller). */
function gaussian(count, seed) {
  const draw = random(seed), out = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    out[i] = Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  }
  return out;
}

/** The image plus Gaussian noise whose change, inside the box, has just this L2 length; as near to
    it as the box allows. */
function noisy(image, length, seed) {
  const draw = gaussian(image.length, seed);
  const at = (size) => Float64Array.from(image, (pixel, i) => clip(pixel + size * draw[i]));
  const far = (size) => distortion(at(size), image) * Math.sqrt(image.length);
  let low = 0, high = 1;
  while (far(high) < length && high < 1e3) high *= 2;
  for (let k = 0; k < 40; k++) {
    const middle = (low + high) / 2;
    if (far(middle) < length) low = middle;
    else high = middle;
  }
  return at(high);
}

/** Start: "noise" or "grey". Climbs −loss by box-constrained L-BFGS without a penalty. */
function nonsense(network, target, start, seed) {
  const draw = random(seed);
  const image = Float64Array.from({ length: network.pixels }, () => (start === "noise" ? draw() : 0.5));
  const descent = new Descent(image);
  descent.c = 0;
  for (let passes = 1; passes <= CLIMBS; passes++) {
    descent.consume(network.evaluate(descent.trial, target));
    if (passes === 1) descent.theta = dot(descent.gradient, descent.gradient) / descent.told.loss;
    const share = descent.told.shares[target];
    if (share >= CONFIDENT) return { image: descent.z, share, passes, found: true };
    descent.aim();
  }
  return { image: descent.z, share: descent.told.shares[target], passes: CLIMBS, found: false };
}
