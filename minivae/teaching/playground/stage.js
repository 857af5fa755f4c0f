// The page of one step: arrays as grids of numbers, a clock that goes one link at a time, an entry's
// chain rule with its numbers, edits, nudges and Adam.

const facts = JSON.parse(byId("facts").textContent);
const PARAMETERS = ["W1", "b1", "W2", "b2", "W3", "b3", "W4", "b4"];

const stage = (() => {
  const { x, eps, seed } = facts;
  const [B, D, H] = [x.length, x[0].length, facts.hidden];
  const arrays = graph.build(B, D, H);
  const specs = Object.fromEntries(arrays.map((each) => [each.name, each]));
  const made = arrays.filter((each) => each.make).map((each) => each.name);
  // The clock: nothing, then each array forward, then each gradient back, then Adam.
  const TIMES = [["begin"], ...made.map((name) => ["forward", name]), ...[...arrays].reverse().map(({ name }) => ["back", name]), ["adam"]];
  let leaves, v, d, moments, steps, time, chosen = ["mu", 0, 0], measured = null;
  const cells = {};

  function begin() {
    const vae = new Vae({ pixels: D, hidden: [H], latent: 1, seed });
    const rows = (flat, columns) => Array.from({ length: flat.length / columns }, (_, r) => [...flat.subarray(r * columns, (r + 1) * columns)]);
    const layers = [...vae.layers.encoder, ...vae.layers.decoder];
    leaves = { x: structuredClone(x), eps: structuredClone(eps), beta: [[1]] };
    layers.forEach((layer, k) => {
      leaves[`W${k + 1}`] = rows(layer.weight, layer.inputs);
      leaves[`b${k + 1}`] = rows(layer.bias, layer.outputs);
    });
    moments = Object.fromEntries(PARAMETERS.map((name) => [name, ["m", "v"].map(() => leaves[name].map((row) => row.map(() => 0)))]));
    [steps, time] = [0, 0];
    compute();
  }

  function compute() {
    v = graph.forward(arrays, leaves);
    d = graph.backward(arrays, v);
    measured = null;
    redraw();
  }

  // --- what is to be seen at this time ---------------------------------------------------------

  const when = (kind, name) => TIMES.findIndex(([k, n]) => k === kind && n === name);
  const hasValue = (name) => !specs[name].make || time >= when("forward", name);
  const hasGradient = (name) => time >= when("back", name);
  const short = (value) => (Math.abs(value) >= 1000 ? value.toExponential(1) : shown(value, 3)).replace("-", "−");
  const long = (value) => shown(value, 6);
  const label = ([name, r, c]) => {
    const [rows, columns] = specs[name].size;
    return rows * columns === 1 ? name : columns === 1 ? `${name}[${r}]` : rows === 1 ? `${name}[${c}]` : `${name}[${r},${c}]`;
  };

  function layOut() {
    for (const { name, size: [rows, columns], says, make } of arrays) {
      const table = element("table");
      for (let r = 0; r < rows; r++) {
        const line = element("tr");
        for (let c = 0; c < columns; c++) {
          const cell = element("button", { type: "button", "data-entry": `${name} ${r} ${c}` });
          cell.append(element("b"), element("i"));
          cell.addEventListener("click", () => choose(name, r, c));
          cells[`${name} ${r} ${c}`] = cell;
          line.append(element("td", {}, cell));
        }
        table.append(line);
      }
      const kind = PARAMETERS.includes(name) ? "parameter" : make ? "made" : "given";
      byId("graph").append(element("div", { class: `node ${kind}`, "data-node": name }, element("h3", {}, name), element("p", {}, says), table));
    }
  }

  function redraw() {
    const [kind, now] = TIMES[time];
    for (const { name, size: [rows, columns] } of arrays) {
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns; c++) {
          const cell = cells[`${name} ${r} ${c}`];
          const [value, gradient] = [hasValue(name) ? short(v[name][r][c]) : "·", hasGradient(name) ? short(d[name][r][c]) : ""];
          cell.children[0].textContent = value;
          cell.children[1].textContent = gradient;
          cell.setAttribute("aria-label", `${label([name, r, c])}: ${value}${gradient && `, gradient ${gradient}`}`);
          cell.classList.remove("lit", "chosen");
        }
      }
    }
    for (const node of byId("graph").children) node.classList.toggle("now", node.dataset.node === now);
    byId("time").textContent = {
      begin: "Nothing is computed yet. Parameters, images and noise are given: press Next.",
      forward: `Forward: ${now} = ${now && specs[now].says}.`,
      back: now === "loss" ? "Back: dloss = 1. Every other gradient follows from it, link by link." : `Back: d${now}, the sum over all that ${now} is used in.`,
      adam: `All gradients are there. Now step ${steps + 1} of Adam: “Update” moves every parameter against its own.`,
    }[kind];
    byId("back").disabled = time === 0;
    byId("next").disabled = kind === "adam";
    byId("update").disabled = kind !== "adam";
    byId("steps").textContent = `Updates so far: ${steps}. loss = ${hasValue("loss") ? long(v.loss[0][0]) : "not computed yet"}`;
    drawChosen();
  }

  // --- one entry -------------------------------------------------------------------------------

  function drawChosen() {
    const [name, r, c] = chosen, spec = specs[name];
    cells[chosen.join(" ")].classList.add("chosen");
    const links = spec.links(v, r, c), leaf = !spec.make;
    byId("entry").textContent = label(chosen);
    byId("entry-says").textContent = spec.says;
    const input = byId("value");
    if (document.activeElement !== input) input.value = hasValue(name) ? Number(v[name][r][c].toPrecision(8)) : "";
    input.disabled = !leaf;
    byId("fixed").textContent = leaf ? "change it: everything follows" : "it is made of others: change those";
    const lines = byId("chain");
    const bracket = (value) => (value < 0 ? `(${long(value)})` : long(value));
    if (!hasGradient(name)) {
      lines.replaceChildren(element("p", {}, `d${label(chosen)} is not known yet: the way back has not come here.`));
    } else if (!links.length) {
      lines.replaceChildren(element("p", {}, "dloss = 1: by how much the loss moves when the loss moves."));
    } else {
      const rows = links.map(([to, slope, words]) => {
        const there = d[to.name][to.r][to.c];
        return element("tr", {}, element("td", {}, `d${label([to.name, to.r, to.c])} · ${words}`),
          element("td", {}, `${bracket(there)} · ${bracket(slope)}`), element("td", {}, `= ${long(there * slope)}`));
      });
      const total = element("tr", { class: "total" }, element("td", {}, `d${label(chosen)}, their sum`), element("td"), element("td", { "data-read": "gradient" }, `= ${long(d[name][r][c])}`));
      lines.replaceChildren(element("table", {}, ...rows, total));
    }
    byId("measured").textContent = measured
      ? `(loss at +${measured.h} − loss at −${measured.h}) / ${2 * measured.h} = (${shown(measured.up, 9)} − ${shown(measured.down, 9)}) / ${2 * measured.h} = ${long(measured.slope)}`
      : "";
    const adam = byId("adam");
    adam.hidden = !(PARAMETERS.includes(name) && TIMES[time][0] === "adam");
    if (!adam.hidden) {
      const [m, s, g] = [moments[name][0][r][c], moments[name][1][r][c], d[name][r][c]];
      const [rate, floor] = formulas.adamConstants(steps + 1, lr(), 0.9, 0.999, 1e-8);
      const [nextM, nextS] = [0.9 * m + g, 0.999 * s + g * g];
      adam.textContent = `Adam: m = 0.9 · ${long(m)} + ${bracket(g)} = ${long(nextM)}; v = 0.999 · ${long(s)} + ${bracket(g)}² = ${long(nextS)}; ${label(chosen)} − rate · m / (√v + floor) = ${long(v[name][r][c])} − ${long(rate)} · ${bracket(nextM)} / ${long(Math.sqrt(nextS) + floor)} = ${long(v[name][r][c] - (rate * nextM) / (Math.sqrt(nextS) + floor))}`;
    }
    for (const [to] of links) cells[`${to.name} ${to.r} ${to.c}`].classList.add("lit");
    drawWires(links);
  }

  // Lines from the chosen entry to all that it is used in.
  function drawWires(links) {
    const wires = byId("wires"), box = byId("graph").getBoundingClientRect();
    const middle = (key) => {
      const b = cells[key].getBoundingClientRect();
      return [b.left + b.width / 2 - box.left, b.top + b.height / 2 - box.top];
    };
    const [a, b] = middle(chosen.join(" "));
    wires.replaceChildren(...links.map(([to]) => {
      const [p, q] = middle(`${to.name} ${to.r} ${to.c}`);
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", `M${a} ${b}C${(a + p) / 2} ${b} ${(a + p) / 2} ${q} ${p} ${q}`);
      return path;
    }));
  }

  // --- hands -----------------------------------------------------------------------------------

  function choose(name, r, c) {
    chosen = [name, r, c];
    measured = null;
    redraw();
  }

  function edit(value) {
    const [name, r, c] = chosen;
    if (specs[name].make || !Number.isFinite(value)) return;
    leaves[name][r][c] = value;
    compute();
  }

  const lr = () => 10 ** Number(byId("lr").value);

  function go(to) {
    time = Math.max(0, Math.min(TIMES.length - 1, to));
    const [kind, name] = TIMES[time];
    measured = null;
    if ((kind === "forward" || kind === "back") && name !== chosen[0]) chosen = [name, 0, 0];
    redraw();
    cells[chosen.join(" ")].closest(".node").scrollIntoView({ block: "nearest" });
  }

  function nudge() {
    measured = graph.nudged(arrays, leaves, ...chosen);
    drawChosen();
    return measured.slope;
  }

  function update() {
    steps += 1;
    const constants = formulas.adamConstants(steps, lr(), 0.9, 0.999, 1e-8);
    for (const name of PARAMETERS) {
      leaves[name].forEach((row, r) => row.forEach((value, c) => {
        const one = [value, d[name][r][c], moments[name][0][r][c], moments[name][1][r][c]].map((number) => Float64Array.of(number));
        formulas.adam(...one, 0.9, 0.999, ...constants);
        leaves[name][r][c] = one[0][0];
        moments[name][0][r][c] = one[2][0];
        moments[name][1][r][c] = one[3][0];
      }));
    }
    compute();
    go(0);
  }

  function start() {
    layOut();
    byId("value").addEventListener("input", (event) => edit(event.target.value === "" ? NaN : Number(event.target.value)));
    byId("back").addEventListener("click", () => go(time - 1));
    byId("next").addEventListener("click", () => go(time + 1));
    byId("all").addEventListener("click", () => go(TIMES.length - 1));
    byId("update").addEventListener("click", update);
    byId("again").addEventListener("click", begin);
    byId("nudge").addEventListener("click", nudge);
    const tell = () => { byId("lr-value").textContent = String(Number(lr().toPrecision(3))); };
    byId("lr").addEventListener("input", () => {
      tell();
      drawChosen();
    });
    tell();
    window.addEventListener("resize", oncePerFrame(drawChosen));
    begin();
    drawChosen();
  }

  return { start, go, choose, edit, nudge, update, state: () => ({ v, d, steps, time, last: TIMES.length - 1 }) };
})();

stage.start();
window.minivae = stage;
