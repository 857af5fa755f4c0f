// Small things shared by the parts of the page: pictures on canvases, test images, colours.
// What the pictures show is decided by the callers.

const byId = (id) => document.getElementById(id);
const mus = new Float32Array(bytes("mus")); // (dots, LATENT)
const testPixels = new Uint8Array(bytes("pictures")); // (images, PIXELS)
const DOT_COLOURS = [
  "#4e79a7", "#f28e2b", "#e15759", "#3fa7a0", "#59a14f",
  "#d4a72c", "#b07aa1", "#f07c9b", "#9c755f", "#7d8590",
];
const colourOf = (label) => (label < 0 ? "#4e79a7" : DOT_COLOURS[label % DOT_COLOURS.length]);
const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Numbers on the page: two decimals and a true minus sign.
const shown = (value, digits = 2) => value.toFixed(digits).replace("-", "−").replace(/^−(0\.?0*)$/, "$1");

// Paint values in [0, 1], one a pixel, black to white.
function paint(canvas, values) {
  if (canvas.width !== COLUMNS || canvas.height !== ROWS) {
    canvas.width = COLUMNS;
    canvas.height = ROWS;
    canvas.style.aspectRatio = `${COLUMNS} / ${ROWS}`;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(COLUMNS, ROWS);
  for (let i = 0; i < PIXELS; i++) {
    const grey = Math.round(255 * values[i]);
    image.data.set([grey, grey, grey, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

const testImage = (n) => Float64Array.from(testPixels.subarray(n * PIXELS, (n + 1) * PIXELS), (v) => v / 255);
const testCount = testPixels.length / PIXELS;
const startImage = (n) => n % testCount; // what a part shows at first
const testName = (n) => (facts.picture_labels[n] < 0 ? `test image ${n + 1}` : `test image ${n + 1}, label ${facts.picture_labels[n]}`);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Fill a group with one button a test image; `chosen(n)` is called with the one pressed.
function thumbnails(group, chosen) {
  const buttons = Array.from({ length: testCount }, (_, n) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    paint(canvas, testImage(n));
    const button = element("button", { type: "button", "aria-label": testName(n), "aria-pressed": "false" }, canvas);
    button.addEventListener("click", () => chosen(n));
    return button;
  });
  group.replaceChildren(...buttons);
  return (n) => buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(k === n)));
}

// Run a redraw at most once a frame, however often it is asked for.
function oncePerFrame(redraw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      redraw();
    });
  };
}
