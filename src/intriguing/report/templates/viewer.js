"use strict";
for (const root of document.querySelectorAll(".viewer")) {
  const pairs = JSON.parse(root.querySelector(".pairs").textContent);
  const at = (name) => root.querySelector("." + name);
  const buttons = [...root.querySelectorAll(".thumbs button")];
  const { width, height } = at("original");
  let original = null, change = null, scale = 255, turn = 0;

  const pixels = (address) => new Promise((done, failed) => {
    const picture = new Image();
    picture.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = width; canvas.height = height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      done(context.getImageData(0, 0, width, height).data);
    };
    picture.onerror = failed;
    picture.src = address;
  });

  const factor = () => Math.round(Math.pow(100, at("magnify").value / 100) * 10) / 10;

  // original + times · change, each in levels of 255; without the original around 128.
  function put(name, times, from, until) {
    const context = at(name).getContext("2d"), image = context.createImageData(width, height);
    for (let i = 0; i < image.data.length; i++) {
      if (i % 4 === 3) { image.data[i] = 255; continue; }
      const column = (i >> 2) % width;
      const moved = 255 * (change[i] - 128) / scale;
      const here = column >= from && column < until ? times : 0;
      image.data[i] = Math.round((name === "difference" ? 128 : original[i]) + here * moved);
    }
    context.putImageData(image, 0, 0);
    return context;
  }

  function draw() {
    if (!original) return;
    const times = factor(), applied = at("apply").checked ? times : 1;
    const line = Math.round(width * at("split").value / 100);
    at("times").textContent = at("factor").textContent = times;
    at("factor").textContent = "×" + times;
    put("original", 0, 0, width);
    put("difference", times, 0, width);
    put("adversarial", applied, 0, width);
    const context = put("both", applied, line, width);
    context.fillStyle = "#fff";
    context.fillRect(line, 0, Math.max(1, width / 256), height);
  }

  async function show(number) {
    const mine = ++turn, pair = pairs[number];
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === number));
    const both = await Promise.all([pixels(pair.original), pixels(pair.change)]);
    if (mine !== turn) return;
    [original, change] = both;
    scale = pair.scale;
    at("says").textContent =
      `${pair.label} → ${pair.says}, distortion ${pair.distortion} (${pair.id})`;
    draw();
  }

  buttons.forEach((button, number) => button.addEventListener("click", () => show(number)));
  for (const name of ["split", "magnify", "apply"]) at(name).addEventListener("input", draw);
  at("both").addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && event.buttons === 0) return;
    const box = at("both").getBoundingClientRect();
    at("split").value = 100 * (event.clientX - box.left) / box.width;
    draw();
  });
  root.dataset.ready = "";
  show(0);
}
