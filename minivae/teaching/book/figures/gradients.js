// Lesson 2: each entry of Linear's three gradients with the numbers that it is made of.

figure("gradients", "Choose an entry of a gradient: what it is made of lights up. Type into x, W or dy, or drag across a number.", (box) => {
  const given = { x: lesson.x, W: lesson.weight, dy: lesson.dy };
  const [B, inputs, outputs] = [given.x.length, given.x[0].length, given.dy[0].length];
  sums(box, {
    given,
    shapes: { x: [B, inputs], W: [outputs, inputs], dy: [B, outputs], dx: [B, inputs], dW: [outputs, inputs], db: [1, outputs] },
    terms: {
      dx: (n, i) => range(0, outputs - 1, outputs).map((o) => [["dy", n, o], ["W", o, i]]),
      dW: (o, i) => range(0, B - 1, B).map((n) => [["dy", n, o], ["x", n, i]]),
      db: (_, o) => range(0, B - 1, B).map((n) => [["dy", n, o]]),
    },
    chosen: ["dW", 1, 0],
  });
});
