/* Box-constrained L-BFGS for one image: minimise loss(z) + c‖z − anchor‖² over pixels in [0, 1].

   Two-metric projection (Bertsekas 1982): pixels that the gradient holds at a bound are set apart,
   the others take the quasi-Newton step, and the step is projected and shortened until the value
   falls enough. Pairs are of the loss alone, so that c may change at no cost (docs: minimum
   distortion). */

const MEMORY = 4, PATIENCE = 6, MOST = 200, SUFFICIENT = 1e-4, NOISE = 4 * 2 ** -52;

class Pairs {
  constructor() {
    this.s = [];
    this.y = [];
  }

  add(s, y) {
    this.s.push(s);
    this.y.push(y);
    if (this.s.length > MEMORY) {
      this.s.shift();
      this.y.shift();
    }
  }

  /** −H g on the free pixels and −γg on the others; β is the curvature that c adds. */
  step(slope, free, beta, theta) {
    const n = slope.length;
    const onto = Float64Array.from(slope, (value, i) => value * free[i]);
    const bent = this.y.map((y, k) => Float64Array.from(y, (value, i) => value + beta * this.s[k][i]));
    const usable = bent.map((y, k) => dot(this.s[k], y) > 1e-10 * dot(y, y));
    const newest = this.s.length - 1;
    const gamma = newest >= 0 && usable[newest]
      ? dot(this.s[newest], bent[newest]) / dot(bent[newest], bent[newest])
      : 1 / (theta + beta);
    const s = this.s.filter((_, k) => usable[k]), y = bent.filter((_, k) => usable[k]);
    const m = s.length;
    const R = s.map((a) => y.map((b) => dot(a, b)));
    // u = R⁻¹Sᵀg by back substitution, then R⁻ᵀ(γYᵀg − (D + γYᵀY)u) by forward substitution.
    const u = new Float64Array(m), v = new Float64Array(m);
    for (let i = m - 1; i >= 0; i--) {
      let sum = dot(s[i], onto);
      for (let j = i + 1; j < m; j++) sum -= R[i][j] * u[j];
      u[i] = sum / R[i][i];
    }
    for (let i = 0; i < m; i++) {
      let sum = dot(y[i], onto);
      for (let j = 0; j < m; j++) sum -= dot(y[i], y[j]) * u[j];
      sum = gamma * sum - R[i][i] * u[i];
      for (let j = 0; j < i; j++) sum -= R[j][i] * v[j];
      v[i] = sum / R[i][i];
    }
    const step = new Float64Array(n);
    for (let k = 0; k < m; k++) {
      for (let i = 0; i < n; i++) step[i] += v[k] * s[k][i] + gamma * u[k] * y[k][i];
    }
    for (let i = 0; i < n; i++) step[i] = step[i] * free[i] - gamma * slope[i];
    return step;
  }
}

class Descent {
  constructor(anchor) {
    this.anchor = anchor;
    this.z = Float64Array.from(anchor);
    this.trial = this.z;
    this.gradient = new Float64Array(anchor.length);
    this.slope = this.gradient;
    this.pairs = new Pairs();
    this.c = 1;
    this.theta = 1;
    this.tolerance = 1e-3;
    this.told = { loss: Infinity, squared: 0, margin: -Infinity, shares: null };
    this.restart();
  }

  restart() {
    this.t = 1;
    this.evaluations = 0;
    this.idle = 0;
    this.fresh = true;
  }

  changeC(c) {
    this.c = c;
    this.restart();
  }

  restore({ z, gradient, told }) {
    this.z = z;
    this.gradient = gradient;
    this.told = told;
  }

  /** Take in the loss and its gradient at `trial`. */
  consume({ loss, gradient, margin, shares }) {
    const { z, trial, anchor, c } = this, n = z.length;
    const s = new Float64Array(n), y = new Float64Array(n);
    let squared = 0, promised = 0;
    for (let i = 0; i < n; i++) {
      s[i] = trial[i] - z[i];
      if (s[i] !== 0) y[i] = gradient[i] - this.gradient[i];
      promised -= this.slope[i] * s[i];
      squared += (trial[i] - anchor[i]) ** 2;
    }
    const value = loss + c * squared, size = Math.abs(value);
    const gain = this.told.loss + c * this.told.squared - value;
    const rounding = size * NOISE;
    const accepted = gain >= Math.max(promised, 0) * SUFFICIENT - rounding;
    const busy = accepted && gain >= Math.max(this.tolerance ** 2 * size, rounding);
    this.evaluations += 1;
    this.idle = busy ? 0 : this.idle + 1;
    if (accepted) {
      this.t = 1;
      this.z = trial;
      this.gradient = gradient;
      this.told = { loss, squared, margin, shares };
      this.pairs.add(s, y);
    } else {
      const shorter = (0.5 * promised) / Math.max(promised - gain, 1e-38);
      this.t *= Math.min(0.5, Math.max(0.1, Number.isFinite(shorter) ? shorter : 0.1));
    }
    this.fresh = accepted;
    this.measure();
  }

  /** How far a step of gradient projection, at the scale of the penalty, would still go. */
  measure() {
    const pull = 2 * this.c;
    let sum = 0;
    for (let i = 0; i < this.z.length; i++) {
      const slope = this.gradient[i] + pull * (this.z[i] - this.anchor[i]);
      sum += (clip(this.z[i] - slope / (pull || 1)) - this.z[i]) ** 2;
    }
    this.residual = Math.sqrt(sum);
  }

  /** Choose the next `trial`. */
  aim() {
    const { z, anchor } = this, n = z.length, pull = 2 * this.c;
    const slope = Float64Array.from(this.gradient, (g, i) => g + pull * (z[i] - anchor[i]));
    if (this.fresh) {
      const near = Math.min(1e-3, Math.max(2 * NOISE, this.residual));
      const free = Float64Array.from(slope, (g, i) => {
        const room = g > 0 ? z[i] : g < 0 ? 1 - z[i] : 0.5;
        return room > near ? 1 : 0;
      });
      this.direction = this.pairs.step(slope, free, pull, this.theta);
    }
    this.slope = slope;
    this.trial = Float64Array.from(this.direction, (d, i) => clip(z[i] + this.t * d));
  }

  get finished() {
    return (
      this.residual <= this.tolerance * Math.sqrt(this.told.squared) ||
      this.idle >= PATIENCE ||
      this.evaluations >= MOST
    );
  }
}
