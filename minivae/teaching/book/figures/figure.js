// What live figures are made of: a plot with axes, sliders, buttons, numbers that are named so that
// tests can read them. Each figure is a function that fills its place on the page.

const lesson = facts.lesson;
const SVG = "http://www.w3.org/2000/svg";

function figure(name, title, fill) {
  const box = document.querySelector(`[data-figure="${name}"]`);
  box.append(element("figcaption", {}, title));
  fill(box, name);
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A plot: x and y give [from, to]; logarithmic axes take powers of ten. `draw` replaces its content.
// It is as wide as its place, so that its letters stay legible on a phone.
class Plot {
  constructor(box, { x, y, log = "", across = "", up = "", height = 280, label }) {
    const width = Math.min(640, Math.max(280, box.clientWidth - 24));
    Object.assign(this, { x, y, log, width, height });
    [this.left, this.right, this.top, this.bottom] = [58, width - 12, 12, height - 40];
    this.svg = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", "aria-label": label });
    Plot.count = (Plot.count ?? 0) + 1;
    const inside = { x: this.left, y: this.top - 6, width: this.right - this.left, height: this.bottom - this.top + 12 };
    const clip = svg("clipPath", { id: `inside-${Plot.count}` }, svg("rect", inside));
    this.content = svg("g", { "clip-path": `url(#inside-${Plot.count})` });
    this.svg.append(clip, this._axes(across, up), this.content);
    box.append(this.svg);
  }

  _share(axis, value) {
    const [from, to] = this[axis];
    return this.log.includes(axis) ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
  }

  at(x, y) {
    const clamp = (value) => Math.min(4, Math.max(-3, value));
    return [
      this.left + clamp(this._share("x", x)) * (this.right - this.left),
      this.bottom - clamp(this._share("y", y)) * (this.bottom - this.top),
    ];
  }

  // The values under a pointer.
  under(event) {
    const box = this.svg.getBoundingClientRect();
    const shares = {
      x: (((event.clientX - box.left) / box.width) * this.width - this.left) / (this.right - this.left),
      y: (this.bottom - ((event.clientY - box.top) / box.height) * this.height) / (this.bottom - this.top),
    };
    return ["x", "y"].map((axis) => {
      const share = Math.min(1, Math.max(0, shares[axis])), [from, to] = this[axis];
      return this.log.includes(axis) ? from * (to / from) ** share : from + share * (to - from);
    });
  }

  // Call `moved(x, y)` while a pointer is dragged over the plot.
  drags(moved) {
    this.svg.classList.add("drags");
    const soon = oncePerFrame(() => moved(...this.last));
    const note = (event) => {
      this.last = this.under(event);
      soon();
    };
    this.svg.addEventListener("pointerdown", (event) => {
      this.svg.setPointerCapture(event.pointerId);
      event.preventDefault();
      note(event);
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (this.svg.hasPointerCapture(event.pointerId)) note(event);
    });
  }

  _ticks(axis) {
    const [from, to] = this[axis], most = axis === "x" ? this.width / 80 : 6;
    if (this.log.includes(axis)) {
      const [a, b] = [Math.log10(Math.min(from, to)), Math.log10(Math.max(from, to))];
      const every = Math.ceil((b - a) / (most + 1));
      return Array.from({ length: Math.floor((b - a) / every + 1e-9) + 1 }, (_, i) => Math.ceil(a) + i * every)
        .map((power) => [10 ** power, Math.abs(power) < 3 ? String(10 ** power) : `1e${power}`]);
    }
    const raw = (to - from) / most, base = 10 ** Math.floor(Math.log10(raw));
    const every = [1, 2, 5, 10].map((m) => m * base).find((step) => step >= raw);
    const first = Math.ceil(from / every - 1e-9) * every;
    const digits = Math.max(0, -Math.floor(Math.log10(every) + 1e-9));
    return Array.from({ length: Math.floor((to - first) / every + 1e-9) + 1 }, (_, i) => first + i * every)
      .map((value) => [value, shown(value, digits)]);
  }

  _axes(across, up) {
    const group = svg("g", { class: "axes" });
    for (const [value, text] of this._ticks("x")) {
      const [x] = this.at(value, this.y[0]);
      group.append(svg("line", { x1: x, x2: x, y1: this.top, y2: this.bottom }));
      group.append(svg("text", { x, y: this.bottom + 16, "text-anchor": "middle" }, text));
    }
    for (const [value, text] of up ? this._ticks("y") : []) {
      const y = this.at(this.x[0], value)[1];
      group.append(svg("line", { x1: this.left, x2: this.right, y1: y, y2: y }));
      group.append(svg("text", { x: this.left - 7, y: y + 4, "text-anchor": "end" }, text));
    }
    const middle = (this.top + this.bottom) / 2;
    group.append(svg("text", { x: (this.left + this.right) / 2, y: this.height - 6, "text-anchor": "middle" }, across));
    group.append(svg("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, up));
    return group;
  }

  draw(...parts) {
    this.content.replaceChildren(...parts.filter(Boolean));
  }

  line(points, kind, label) {
    const d = points.map(([x, y], i) => `${i ? "L" : "M"}${this.at(x, y).map((v) => v.toFixed(2)).join(" ")}`).join("");
    const path = svg("path", { d, class: `line ${kind}` });
    if (label) path.append(svg("title", {}, label));
    return path;
  }

  dot(x, y, kind, r = 5) {
    const [cx, cy] = this.at(x, y);
    return svg("circle", { cx, cy, r, class: `dot ${kind}` });
  }

  // Small dots, many in one path: a frame has no time for a circle each.
  dots(points, kind) {
    const d = points.map(([x, y]) => `M${this.at(x, y).map((v) => v.toFixed(2)).join(" ")}h0`).join("");
    return svg("path", { d, class: `dots ${kind}` });
  }

  text(x, y, words, kind = "", anchor = "start") {
    const [a, b] = this.at(x, y);
    return svg("text", { x: a, y: b, class: kind, "text-anchor": anchor }, words);
  }

  bar(x0, x1, y, kind) {
    const [[a, top], [b, zero]] = [this.at(x0, y), this.at(x1, this.y[0])];
    return svg("rect", { x: a, width: Math.max(0, b - a), y: Math.min(top, zero), height: Math.abs(zero - top), class: `bar ${kind}` });
  }
}

// A slider with its name and value; `value()` reads it, `set(v)` moves it.
function slider(box, id, name, { min, max, step, value, say = (v) => shown(v, 2), changed }) {
  const input = element("input", { type: "range", id, min, max, step, value });
  const output = element("output", { for: id });
  const label = element("label", { class: "line", for: id }, name, output);
  label.append(input);
  const soon = oncePerFrame(changed);
  const tell = () => { output.textContent = say(Number(input.value)); };
  input.addEventListener("input", () => {
    tell();
    soon();
  });
  tell();
  box.append(label);
  return {
    value: () => Number(input.value),
    set: (v) => {
      input.value = v;
      tell();
      changed();
    },
  };
}

function button(box, name, clicked, id = "") {
  const made = element("button", { type: "button", ...(id && { id }) }, name);
  made.addEventListener("click", () => clicked(made));
  box.append(made);
  return made;
}

const row = (box, kind) => box.appendChild(element("div", { class: kind }));

// A table of named numbers: `tell({name: text})` writes them.
function numbers(box, names) {
  const cells = {};
  const lines = Object.entries(names).map(([id, name]) => {
    cells[id] = element("td", { "data-read": id });
    return element("tr", {}, element("th", { scope: "row" }, name), cells[id]);
  });
  box.append(element("table", { class: "numbers" }, ...lines));
  return (values) => {
    for (const [id, value] of Object.entries(values)) cells[id].textContent = value;
  };
}

function legend(box, names) {
  const items = Object.entries(names).map(([kind, name]) => element("span", {}, element("i", { class: kind }), name));
  box.append(element("p", { class: "legend" }, ...items));
}

// A number that a drag across it changes, by a tenth for every four pixels.
function dragsNumber(input) {
  let from;
  input.addEventListener("pointerdown", (event) => {
    input.setPointerCapture(event.pointerId);
    from = { x: event.clientX, value: Number(input.value), moved: false };
  });
  input.addEventListener("pointermove", (event) => {
    const tenths = Math.round((event.clientX - from?.x) / 4);
    if (!input.hasPointerCapture(event.pointerId) || !(tenths || from.moved)) return;
    from.moved = true;
    input.blur(); // or its text would be selected
    input.value = (from.value + tenths / 10).toFixed(1).replace(".0", "");
    input.dispatchEvent(new Event("input"));
  });
}

// Arrays of numbers: those in `given` can be changed, the others are sums of products of their
// entries. `terms[name](r, c)` lists the products, each a list of [array, row, column]; those of the
// chosen entry light up, and stand below in words and numbers.
function sums(box, { given, shapes, terms, chosen, columns = 3 }) {
  const cells = {}, grid = row(box, "arrays");
  grid.style.gridTemplateColumns = `repeat(${columns}, auto)`;
  const valueOf = ([name, r, c]) => given[name][r][c];
  const product = (factors) => factors.reduce((p, each) => p * valueOf(each), 1);
  const result = (name, r, c) => terms[name](r, c).reduce((sum, factors) => sum + product(factors), 0);
  const short = (v) => String(Number(v.toFixed(3))).replace("-", "−");

  for (const [name, [rows, columns]] of Object.entries(shapes)) {
    const table = element("table", { class: "array" }, element("caption", {}, name));
    for (let r = 0; r < rows; r++) {
      const line = element("tr");
      for (let c = 0; c < columns; c++) {
        const made = name in given
          ? element("input", { type: "number", step: "any", value: given[name][r][c], "aria-label": `${name}[${r},${c}]` })
          : element("button", { type: "button", "aria-label": `${name}[${r},${c}]` });
        made.dataset.entry = `${name} ${r} ${c}`;
        made.addEventListener(name in given ? "input" : "click", () => {
          if (name in given) given[name][r][c] = Number(made.value) || 0;
          else chosen = [name, r, c];
          soon();
        });
        if (name in given) dragsNumber(made);
        if (!(name in given)) made.addEventListener("focus", () => made.click());
        cells[`${name} ${r} ${c}`] = made;
        line.append(element("td", {}, made));
      }
      table.append(line);
    }
    grid.append(table);
  }
  const soon = oncePerFrame(redraw);
  const words = element("p", { class: "sum", "data-read": "sum", "aria-live": "polite" });
  box.append(words);

  function redraw() {
    for (const [key, cell] of Object.entries(cells)) {
      const [name, r, c] = key.split(" ");
      if (!(name in given)) cell.textContent = short(result(name, Number(r), Number(c)));
      cell.classList.remove("lit", "chosen");
    }
    const [name, r, c] = chosen, parts = terms[name](r, c);
    cells[chosen.join(" ")].classList.add("chosen");
    for (const each of parts.flat()) cells[each.join(" ")].classList.add("lit");
    const index = shapes[name][0] === 1 ? c : `${r},${c}`;
    const named = parts.map((factors) => factors.map(([array, i, j]) => `${array}[${i},${j}]`).join("·")).join(" + ");
    const bracket = (v) => (v < 0 ? `(${short(v)})` : short(v));
    const numbered = parts.map((factors) => factors.map((each) => bracket(valueOf(each))).join("·")).join(" + ");
    words.textContent = `${name}[${index}] = ${named} = ${numbered} = ${short(result(name, r, c))}`;
  }
  redraw();
}

const tiny = (value) => (value === 0 ? "0" : value.toExponential(1).replace("-", "−").replace("e−", "e-").replace("e+", "e"));
const range = (from, to, count) => Array.from({ length: count }, (_, i) => from + ((to - from) * i) / Math.max(1, count - 1));
