/* Six steps through the claims of the paper, each of which sets the page up and points at it. */

function setNetwork(place) {
  element("network").value = String(place);
  state.network = networks[place];
}
const deepest = () => networks.findIndex((network) => !network.affine);
const softmax = () => networks.findIndex((network) => network.affine);
async function found(place, goal = "nearest") {
  setNetwork(Math.max(0, place));
  element("goal").value = state.goal = goal;
  await search();
}

const LESSON = [
  {
    title: "Every image has such a neighbour", where: "result",
    text: "A small change, hardly to be seen, makes a network that reads nearly all digits misread this one. §4 of the paper found one for every image of every network that was tried. Choose other digits and see whether you find one without.",
    set: () => found(deepest()),
  },
  {
    title: "It is the direction, not the size", where: "size",
    text: "Noise of the same length does nothing. Make both longer by the slider: the change fools from length 1 on, the noise only when it is many times as long, if at all.",
    set: () => found(deepest()),
  },
  {
    title: "How it is found", where: "watch",
    text: "D(x, l), the shortest change that makes a network say l, is sought by box-constrained L-BFGS on c·‖r‖² + loss, over and over with another c. Press Play: where c is too large the image falls back to what it was; the search closes in on the largest c that works.",
    set: () => found(deepest(), String((networks[Math.max(0, deepest())].predict(state.image) + 1) % 10)),
  },
  {
    title: "Other networks misread it, too", where: "size",
    text: "The same image, made for one network, is shown to the others, which were trained by themselves. Lengthen the change until they follow: §4.2 calls this cross-model generalization. Compare it with noise of that length.",
    set: async () => {
      await found(deepest());
      element("scale").value = "2.5";
      drawSize();
    },
  },
  {
    title: "How close, exactly?", where: "proof",
    text: "A search can only say that there is one at most this far. Bounds on how fast a network can change (§4.3) say that there is none closer than something else. For a softmax network a convex program tells the truth itself: the paper says that its search is exact there. See how far above the proved optimum it ends, and try “shall be taken for” one class after another.",
    set: () => found(softmax() < 0 ? deepest() : softmax()),
  },
  {
    title: "What it really responds to", where: "fool",
    text: "From noise, the same network climbs to certainty about a digit that nobody sees. The weights above show what its first units add up. Take another class, begin with grey, and ask what the other networks say.",
    set: async () => {
      await found(deepest());
      await climb();
    },
  },
];

let step = -1;

async function goTo(next) {
  document.querySelectorAll(".pointed").forEach((part) => part.classList.remove("pointed"));
  step = next;
  const open = step >= 0 && step < LESSON.length;
  element("lesson").hidden = !open;
  element("lesson-start").hidden = open;
  if (!open) {
    element("lesson-start").focus();
    return;
  }
  const { title, text, where, set } = LESSON[step];
  element("lesson-number").textContent = `Step ${step + 1} of ${LESSON.length}`;
  element("lesson-title").textContent = title;
  element("lesson-text").textContent = text;
  element("lesson-back").disabled = step === 0;
  element("lesson-next").textContent = step === LESSON.length - 1 ? "Done" : "Next";
  element("scale").value = "1";
  await set();
  if (step !== next) return;
  element(where).classList.add("pointed");
  element(where).scrollIntoView({ block: "start" });
  element("lesson-title").focus({ preventScroll: true });
}

element("lesson-start").addEventListener("click", () => goTo(0));
element("lesson-next").addEventListener("click", () => goTo(step + 1));
element("lesson-back").addEventListener("click", () => goTo(step - 1));
element("lesson-end").addEventListener("click", () => goTo(-1));
