"""Exercise 23, a blank page: the optimiser.

Lesson 7 (minivae learn). Write one class below, with NumPy alone:

    Adam(params, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8)
                                      params: a dict of arrays, by name
        .update(grads)                one step: changes the arrays of params in place; grads has
                                      the same names, and is only read

Then run: minivae exercise check 23, and when 20 to 22 are right too: minivae exercise build
"""

import numpy as np

#: below


class Adam:
    """Kingma and Ba 2015, algorithm 1."""

    def __init__(self, params, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.params, self.lr, self.beta1, self.beta2, self.eps = params, lr, beta1, beta2, eps
        self.m = {name: np.zeros_like(value) for name, value in params.items()}
        self.v = {name: np.zeros_like(value) for name, value in params.items()}
        self.step = 0

    def update(self, grads):
        """Change all parameters."""
        self.step += 1
        for name, value in self.params.items():
            m, v = self.m[name], self.v[name]
            m += (1 - self.beta1) * (grads[name] - m)
            v += (1 - self.beta2) * (grads[name] ** 2 - v)
            mhat, vhat = m / (1 - self.beta1**self.step), v / (1 - self.beta2**self.step)
            value -= self.lr * mhat / (np.sqrt(vhat) + self.eps)
