/* Fully connected networks on one image: logits, and gradients by going back through the layers.
   Weights are kept in 16 bits inside the page, arithmetic is double. */

/** Bytes of a base64 string. */
function bytesOf(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** IEEE half-precision numbers, little-endian, as floats. */
function halves(text) {
  const bytes = bytesOf(text), out = new Float32Array(bytes.length / 2);
  for (let i = 0; i < out.length; i++) {
    const half = bytes[2 * i] | (bytes[2 * i + 1] << 8);
    const exponent = (half >> 10) & 31, fraction = half & 1023;
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    out[i] = half & 0x8000 ? -size : size;
  }
  return out;
}

const SQUASH = {
  sigmoid: [(v) => 1 / (1 + Math.exp(-v)), (out) => out * (1 - out)],
  tanh: [Math.tanh, (out) => 1 - out * out],
  relu: [(v) => Math.max(0, v), (out) => (out > 0 ? 1 : 0)],
};

class Network {
  /** From what the page carries: name, activation, and layers of weight, bias and number of rows. */
  constructor(given) {
    this.name = given.name;
    this.error = given.error;
    this.pairs = given.pairs;
    [this.squash, this.slope] = SQUASH[given.activation];
    this.layers = given.layers.map(({ weight, bias, rows }) => {
      const w = halves(weight);
      return { w, bias: halves(bias), rows, columns: w.length / rows };
    });
    this.pixels = this.layers[0].columns;
    this.classes = this.layers.at(-1).rows;
    this.affine = this.layers.length === 1;
    this.values = this.layers.map(({ rows }) => new Float64Array(rows));
  }

  /** Logits of an image; they are overwritten by the next call. */
  logits(image) {
    let before = image;
    const last = this.layers.length - 1;
    this.layers.forEach(({ w, bias, rows, columns }, depth) => {
      const after = this.values[depth];
      for (let row = 0, k = 0; row < rows; row++) {
        let sum = bias[row];
        for (let j = 0; j < columns; j++, k++) sum += w[k] * before[j];
        after[row] = depth < last ? this.squash(sum) : sum;
      }
      before = after;
    });
    return before;
  }

  /** The gradient, at the image that was asked about last, of Σ slope·logits. */
  back(slope) {
    let after = slope;
    for (let depth = this.layers.length - 1; depth >= 0; depth--) {
      const { w, rows, columns } = this.layers[depth];
      const before = new Float64Array(columns);
      for (let row = 0; row < rows; row++) {
        const much = after[row], start = row * columns;
        if (much !== 0) for (let j = 0; j < columns; j++) before[j] += much * w[start + j];
      }
      if (depth > 0) {
        const values = this.values[depth - 1];
        for (let j = 0; j < columns; j++) before[j] *= this.slope(values[j]);
      }
      after = before;
    }
    return after;
  }

  /** loss_f(image, target) of §4.1, its gradient, and by how much the target's logit leads. */
  evaluate(image, target) {
    const logits = this.logits(image), shares = probabilities(logits);
    const loss = logSum(logits) - logits[target];
    const margin = lead(logits, target);
    const slope = Float64Array.from(shares);
    slope[target] -= 1;
    return { loss, margin, shares, gradient: this.back(slope) };
  }

  predict(image) {
    return highest(this.logits(image));
  }
}

function highest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function logSum(logits) {
  const top = Math.max(...logits);
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - top);
  return top + Math.log(sum);
}

function probabilities(logits) {
  const all = logSum(logits);
  return Float64Array.from(logits, (value) => Math.exp(value - all));
}

/** How far a class stands above the best other one, less what float32 could take from it, so that
    an answer stands wherever the network is asked again. */
function lead(logits, target) {
  let other = -Infinity, largest = 1;
  for (let i = 0; i < logits.length; i++) {
    if (i !== target && logits[i] > other) other = logits[i];
    largest = Math.max(largest, Math.abs(logits[i]));
  }
  return logits[target] - other - 16 * 2 ** -23 * largest;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function clip(value) {
  return value < 0 ? 0 : value > 1 ? 1 : value;
}

/** √(mean r²), the paper's distortion, between two images. */
function distortion(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt(sum / a.length);
}
