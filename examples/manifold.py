"""Train with two latent dimensions, and decode a whole plane of them.

python examples/manifold.py manifold.png [epochs]
"""

import sys
from statistics import NormalDist

import numpy as np

import minivae
from minivae.looking.plots import save_grid

data = minivae.load_data("mnist")
vae = minivae.VAE(784, latent=2)
for record in minivae.train(vae, data, epochs=int(sys.argv[2]) if len(sys.argv) > 2 else 10):
    print(f"epoch {record.epoch}: test loss {record.test_loss:.2f} nats per image")

# Points that share the prior's probability equally: quantiles of N(0, 1) along both axes.
steps = [NormalDist().inv_cdf((i + 0.5) / 20) for i in range(20)]
plane = np.array([(x, y) for y in reversed(steps) for x in steps])
save_grid(sys.argv[1], vae.decode(plane), data.image_shape, columns=20)
print(f"the plane of z in {sys.argv[1]}")
