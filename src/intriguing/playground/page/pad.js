/* A pad to draw a digit on, by pointer or by keys. */

class Pad {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.image = new Float64Array(SIDE * SIDE);
    this.pen = { x: SIDE / 2, y: SIDE / 2, down: false, keys: false };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pen.down = true;
      this.move(event);
    });
    canvas.addEventListener("pointermove", (event) => this.pen.down && !this.pen.keys && this.move(event));
    canvas.addEventListener("pointerup", () => (this.pen.down = false));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => {
      this.pen.keys = this.pen.down = false;
      paint(canvas, this.image);
    });
  }

  show(image) {
    this.image = Float64Array.from(image);
    paint(this.canvas, this.image);
  }

  move(event) {
    const box = this.canvas.getBoundingClientRect();
    this.pen.keys = false;
    this.ink(((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE);
  }

  key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      this.pen.x = Math.min(SIDE - 1, Math.max(1, this.pen.x + step[0]));
      this.pen.y = Math.min(SIDE - 1, Math.max(1, this.pen.y + step[1]));
    } else if (event.key === " ") {
      this.pen.down = !(this.pen.keys && this.pen.down);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.image.fill(0);
      this.pen.down = false;
      this.changed(this.image);
    } else {
      return;
    }
    event.preventDefault();
    this.pen.keys = true;
    if (this.pen.down) this.ink(this.pen.x, this.pen.y);
    else paint(this.canvas, this.image);
    this.cursor();
  }

  /** Strokes as wide as MNIST's. */
  ink(x, y) {
    for (let row = 0; row < SIDE; row++) {
      for (let column = 0; column < SIDE; column++) {
        const far = Math.hypot(column + 0.5 - x, row + 0.5 - y), dark = clip(1.9 - far);
        const i = row * SIDE + column;
        this.image[i] = Math.max(this.image[i], dark);
      }
    }
    paint(this.canvas, this.image);
    this.changed(this.image);
  }

  cursor() {
    const context = this.canvas.getContext("2d");
    context.fillStyle = this.pen.down ? "#e07a3f" : "#3f8fd0";
    context.fillRect(Math.floor(this.pen.x), Math.floor(this.pen.y), 1, 1);
  }
}
