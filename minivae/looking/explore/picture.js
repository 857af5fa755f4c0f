// Small things shared by the parts of the page: pictures on canvases, test images.
// What the pictures show is decided by the callers.

const mus = new Float32Array(bytes("mus")); // (dots, LATENT)
const testPixels = new Uint8Array(bytes("pictures")); // (images, PIXELS)
// Paint values in [0, 1], CHANNELS a pixel, black to white.
function paint(canvas, values) {
  if (canvas.width !== COLUMNS || canvas.height !== ROWS) {
    canvas.width = COLUMNS;
    canvas.height = ROWS;
    canvas.style.aspectRatio = `${COLUMNS} / ${ROWS}`;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(COLUMNS, ROWS);
  for (let i = 0; i < ROWS * COLUMNS; i++) {
    const [red, green = red, blue = red] = values.slice(i * CHANNELS, (i + 1) * CHANNELS);
    image.data.set([255 * red, 255 * green, 255 * blue, 255], 4 * i); // rounded and cut at the ends
  }
  context.putImageData(image, 0, 0);
}

const testImage = (n) => Float64Array.from(testPixels.subarray(n * PIXELS, (n + 1) * PIXELS), (v) => v / 255);
const testCount = testPixels.length / PIXELS;
const startImage = (n) => n % testCount; // what a part shows at first
const testName = (n) => (facts.picture_labels[n] < 0 ? `test image ${n + 1}` : `test image ${n + 1}, label ${facts.picture_labels[n]}`);

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
