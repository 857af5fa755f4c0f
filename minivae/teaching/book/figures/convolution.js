// Lesson 11: a kernel that slides, and the two ways back: who meets whom under it.

figure("convolution", "Choose an entry of y, dx or dW: what meets there lights up. Type into x, W or dy, or drag across a number.", (box) => {
  const given = { x: lesson.x, W: lesson.weight, dy: lesson.dy };
  const [n, k, m] = [given.x.length, given.W.length, given.dy.length];
  const places = (rows) => range(0, rows * rows - 1, rows * rows).map((t) => [Math.floor(t / rows), t % rows]);
  const inside = (i) => i >= 0 && i < m;
  sums(box, {
    given,
    shapes: { x: [n, n], W: [k, k], dy: [m, m], dx: [n, n], dW: [k, k], y: [m, m] },
    terms: {
      y: (i, j) => places(k).map(([u, v]) => [["x", i + u, j + v], ["W", u, v]]),
      dx: (r, c) => places(k).filter(([u, v]) => inside(r - u) && inside(c - v)).map(([u, v]) => [["dy", r - u, c - v], ["W", u, v]]),
      dW: (u, v) => places(m).map(([i, j]) => [["dy", i, j], ["x", i + u, j + v]]),
    },
    chosen: ["dx", 1, 1],
  });
});
