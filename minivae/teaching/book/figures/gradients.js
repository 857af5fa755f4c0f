// Lesson 2: each entry of Linear's three gradients with the numbers that it is made of.

figure("gradients", "Choose an entry of a gradient: what it is made of lights up. Change x, W or dy.", (box) => {
  const given = { x: lesson.x, W: lesson.weight, dy: lesson.dy };
  const [B, inputs, outputs] = [given.x.length, given.x[0].length, given.dy[0].length];
  const cells = {};
  const grid = row(box, "arrays");
  let chosen = ["dW", 1, 0];

  // The entry as a sum of products: pairs of [array, row, column].
  const terms = {
    dx: (b, i) => range(0, outputs - 1, outputs).map((o) => [["dy", b, o], ["W", o, i]]),
    dW: (o, i) => range(0, B - 1, B).map((b) => [["dy", b, o], ["x", b, i]]),
    db: (o) => range(0, B - 1, B).map((b) => [["dy", b, o]]),
  };
  const shapes = { x: [B, inputs], W: [outputs, inputs], dy: [B, outputs], dx: [B, inputs], dW: [outputs, inputs], db: [1, outputs] };
  const place = (name, r, c) => (name === "db" ? terms.db(c) : terms[name](r, c));
  const valueOf = ([name, r, c]) => given[name][r][c];
  const product = (pair) => pair.reduce((p, each) => p * valueOf(each), 1);
  const result = (name, r, c) => place(name, r, c).reduce((sum, pair) => sum + product(pair), 0);
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
          redraw();
        });
        if (!(name in given)) made.addEventListener("focus", () => made.click());
        cells[`${name} ${r} ${c}`] = made;
        line.append(element("td", {}, made));
      }
      table.append(line);
    }
    grid.append(table);
  }
  const sum = element("p", { class: "sum", "data-read": "sum", "aria-live": "polite" });
  box.append(sum);

  function redraw() {
    for (const [key, cell] of Object.entries(cells)) {
      const [name, r, c] = key.split(" ");
      if (!(name in given)) cell.textContent = short(result(name, Number(r), Number(c)));
      cell.classList.remove("lit", "chosen");
    }
    const [name, r, c] = chosen, pairs = place(name, r, c);
    cells[chosen.join(" ")].classList.add("chosen");
    for (const each of pairs.flat()) cells[each.join(" ")].classList.add("lit");
    const index = name === "db" ? c : `${r},${c}`;
    const words = pairs.map((pair) => pair.map(([array, i, j]) => `${array}[${i},${j}]`).join("·")).join(" + ");
    const values = pairs.map((pair) => pair.map((each) => (valueOf(each) < 0 ? `(${short(valueOf(each))})` : short(valueOf(each)))).join("·")).join(" + ");
    sum.textContent = `${name}[${index}] = ${words} = ${values} = ${short(result(name, r, c))}`;
  }
  redraw();
});
