// Pictures of a model in training, each painted on a canvas: the plane decoded, the plane encoded,
// the loss, the first layer's weights. What is painted when is decided in train.js.

const views = (() => {
  const REACH = 3.2; // of the map, in deviations of the prior

  // Fit a canvas to its place on the screen; return its pen and side lengths in device pixels.
  function fitted(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(60, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(60, Math.round(canvas.clientHeight * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    return { pen, width, height, ratio };
  }

  // Paint pictures of side x side values into a canvas, `across` of them in a row.
  function pictures(canvas, values, side, across, colour) {
    const down = Math.ceil(values.length / (side * side) / across);
    if (canvas.width !== across * side || canvas.height !== down * side) {
      Object.assign(canvas, { width: across * side, height: down * side });
    }
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(canvas.width, canvas.height);
    const out = new Uint32Array(image.data.buffer); // a pixel: red, green, blue, alpha, low byte first
    const one = side * side;
    for (let n = 0; n < values.length; n++) {
      const tile = (n / one) | 0, pixel = n % one;
      const row = ((tile / across) | 0) * side + ((pixel / side) | 0);
      const column = (tile % across) * side + (pixel % side);
      out[row * canvas.width + column] = colour(values[n]);
    }
    pen.putImageData(image, 0, 0);
  }

  const grey = (value) => {
    const level = Math.round(255 * Math.min(1, Math.max(0, value)));
    return 0xff000000 | (level * 0x010101);
  };

  // Quantiles of N(0, 1): each of the n^2 points of the grid is as likely as any other.
  function quantiles(n) {
    const cdf = (z) => {
      let sum = 0;
      for (let t = -6; t < z; t += 0.01) sum += 0.01 * Math.exp(-(t * t) / 2) / Math.sqrt(2 * Math.PI);
      return sum;
    };
    return Array.from({ length: n }, (_, i) => {
      let [low, high] = [-4, 4];
      for (let k = 0; k < 24; k++) {
        const middle = (low + high) / 2;
        if (cdf(middle) < (i + 0.5) / n) low = middle;
        else high = middle;
      }
      return (low + high) / 2;
    });
  }
  const GRID = quantiles(15);
  const LINES = Array.from({ length: 17 }, (_, i) => -2.4 + 0.3 * i);

  function manifold(canvas, vae, data) {
    if (data.side) {
      const z = new Float64Array(GRID.flatMap((b, i) => GRID.flatMap((a) => [a, GRID[GRID.length - 1 - i]])));
      pictures(canvas, vae.decode(z), data.side, GRID.length, grey);
      return;
    }
    const { pen, width, ratio } = fitted(canvas);
    const at = (x, y) => [width / 2 + (x / 1.25) * (width / 2), width / 2 - (y / 1.25) * (width / 2)];
    for (let n = 0; n < data.kinds.length; n++) {
      pen.fillStyle = colourOf(data.kinds[n]);
      pen.globalAlpha = 0.55;
      const [x, y] = at(data.test[2 * n], data.test[2 * n + 1]);
      pen.fillRect(x - ratio, y - ratio, 2.5 * ratio, 2.5 * ratio);
    }
    pen.globalAlpha = 0.9;
    pen.strokeStyle = cssColour("--accent");
    pen.lineWidth = ratio;
    for (const turned of [false, true]) {
      const z = new Float64Array(LINES.flatMap((a) => LINES.flatMap((b) => (turned ? [a, b] : [b, a]))));
      const out = vae.decode(z);
      for (let k = 0; k < LINES.length; k++) {
        pen.beginPath();
        for (let i = 0; i < LINES.length; i++) {
          const n = 2 * (k * LINES.length + i);
          pen.lineTo(...at(out[n], out[n + 1]));
        }
        pen.stroke();
      }
    }
    pen.globalAlpha = 1;
  }

  // Dots at mu, coloured by kind; the ellipse of one image's q(z|x).
  function map(canvas, { mu, logvar }, kinds, chosen) {
    const { pen, width, ratio } = fitted(canvas);
    const half = width / 2, unit = half / REACH;
    pen.strokeStyle = cssColour("--line");
    pen.lineWidth = ratio;
    for (const radius of [1, 2]) {
      pen.beginPath();
      pen.arc(half, half, radius * unit, 0, 2 * Math.PI);
      pen.stroke();
    }
    pen.globalAlpha = 0.75;
    for (let n = 0; n < mu.length / 2; n++) {
      pen.fillStyle = colourOf(kinds[n]);
      pen.beginPath();
      pen.arc(half + mu[2 * n] * unit, half - mu[2 * n + 1] * unit, 2.4 * ratio, 0, 2 * Math.PI);
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = cssColour("--ink");
    pen.lineWidth = 2 * ratio;
    for (const times of [1, 2]) {
      const [a, b] = [0, 1].map((j) => Math.min(20, times * Math.exp(logvar[2 * chosen + j] / 2)) * unit);
      pen.beginPath();
      pen.ellipse(half + mu[2 * chosen] * unit, half - mu[2 * chosen + 1] * unit, a, b, 0, 0, 2 * Math.PI);
      pen.stroke();
      pen.lineWidth = ratio;
    }
  }

  // The image whose mu lies nearest to a place on the map, given as shares of its width.
  function nearest({ mu }, across, down) {
    const [a, b] = [(2 * across - 1) * REACH, (1 - 2 * down) * REACH];
    let best = 0, least = Infinity;
    for (let n = 0; n < mu.length / 2; n++) {
      const distance = (mu[2 * n] - a) ** 2 + (mu[2 * n + 1] - b) ** 2;
      if (distance < least) [best, least] = [n, distance];
    }
    return best;
  }

  // history: {loss, nll, kl} of means over equally many steps each.
  function curve(canvas, history, every) {
    const { pen, width, height, ratio } = fitted(canvas);
    if (history.length < 2) return;
    const settled = history.slice(Math.floor(history.length / 20));
    const values = settled.flatMap(({ loss, nll, kl }) => [loss, nll, kl]).filter(Number.isFinite);
    const [low, high] = [Math.min(0, ...values), Math.max(...values)];
    const [left, top, bottom] = [44 * ratio, 8 * ratio, height - 20 * ratio];
    const x = (i) => left + (i / (history.length - 1)) * (width - left - 8 * ratio);
    const y = (v) => bottom - ((v - low) / (high - low || 1)) * (bottom - top);
    pen.font = `${11 * ratio}px system-ui, sans-serif`;
    pen.fillStyle = cssColour("--soft");
    pen.strokeStyle = cssColour("--line");
    pen.textAlign = "right";
    for (const v of [low, (low + high) / 2, high]) {
      pen.beginPath();
      pen.moveTo(left, y(v));
      pen.lineTo(width, y(v));
      pen.stroke();
      pen.fillText(shown(v, Math.abs(high - low) > 20 ? 0 : 1), left - 5 * ratio, y(v) + 4 * ratio);
    }
    pen.fillText(`step ${(history.length - 1) * every}`, width - 8 * ratio, height - 5 * ratio);
    pen.lineWidth = 1.6 * ratio;
    for (const [name, colour] of [["nll", "#4e79a7"], ["kl", "#f28e2b"], ["loss", cssColour("--ink")]]) {
      pen.strokeStyle = colour;
      pen.beginPath();
      history.forEach((each, i) => pen.lineTo(x(i), Math.max(-10, Math.min(height + 10, y(each[name])))));
      pen.stroke();
    }
  }

  // Blue below 0, white or black at 0, orange above: a function of the value.
  function signed() {
    const ground = matchMedia("(prefers-color-scheme: dark)").matches ? 24 : 250;
    return (value) => {
      const t = Math.min(1, Math.abs(value)), end = value > 0 ? [232, 120, 20] : [50, 110, 190];
      const [r, g, b] = end.map((c) => Math.round(ground + (c - ground) * t));
      return 0xff000000 | (b << 16) | (g << 8) | r;
    };
  }

  function weights(canvas, vae, side) {
    const count = 16 * side * side;
    const both = ["params", "grads"].map((kind) => {
      const part = vae[kind]["encoder.0.weight"].subarray(0, count);
      const largest = part.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
      return Array.from(part, (value) => value / largest);
    });
    pictures(canvas, both.flat(), side, 8, signed());
  }

  return { manifold, map, nearest, curve, weights, pictures, grey };
})();
