// What the page trains on: small digits, out of base64, and points of a plane made from a seed.

// {pixels, side, train, test, labels of the test rows, limits of the plane}, values in 64-bit floats.
function loadDigits(text, side, labels) {
  const packed = atob(text.trim()), pixels = side * side;
  const all = new Float64Array(2 * packed.length);
  for (let i = 0; i < packed.length; i++) {
    all[2 * i] = (packed.charCodeAt(i) & 15) / 15;
    all[2 * i + 1] = (packed.charCodeAt(i) >> 4) / 15;
  }
  const cut = all.length - 500 * pixels;
  const kinds = [...labels.slice(-500)].map(Number);
  return { pixels, side, train: all.subarray(0, cut), test: all.subarray(cut), kinds };
}

// Each kind of points: a place on it for u in [0, 1), and the number of its part.
const SHAPES = {
  ring: (u) => [0.8 * Math.cos(2 * Math.PI * u), 0.8 * Math.sin(2 * Math.PI * u), Math.floor(6 * u)],
  moons: (u) => {
    const [part, angle] = [u < 0.5 ? 0 : 1, 2 * Math.PI * (u % 0.5)];
    return part === 0
      ? [0.55 * Math.cos(angle) - 0.25, 0.7 * Math.sin(angle) - 0.2, 0]
      : [0.25 - 0.55 * Math.cos(angle), 0.2 - 0.7 * Math.sin(angle), 1];
  },
  clusters: (u) => {
    const part = Math.floor(5 * u), angle = (2 * Math.PI * part) / 5;
    return [0.75 * Math.cos(angle), 0.75 * Math.sin(angle), part];
  },
};

function makePoints(kind, seed) {
  const uniform = random.generator(seed, `points ${kind}`);
  const make = (count) => {
    const x = random.normals(2 * count, uniform).map((value) => 0.05 * value);
    const kinds = [];
    for (let n = 0; n < count; n++) {
      const [a, b, part] = SHAPES[kind](uniform());
      x[2 * n] += a;
      x[2 * n + 1] += b;
      kinds.push(part);
    }
    return { x, kinds };
  };
  const train = make(2000), test = make(500);
  return { pixels: 2, side: 0, train: train.x, test: test.x, kinds: test.kinds };
}
