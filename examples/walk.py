"""Walk in latent space from one digit to another.

python examples/walk.py vae.npz walk.png
"""

import sys

import numpy as np

import minivae
from minivae.looking.plots import save_grid

if len(sys.argv) != 3:
    sys.exit(__doc__)
vae = minivae.load(sys.argv[1])
data = minivae.load_data("mnist")
seven, two = data.test[:2] / 255.0  # the first two test images
mu, _ = vae.encode(np.stack([seven, two]))
share = np.linspace(0, 1, 12)[:, None]
images = vae.decode((1 - share) * mu[0] + share * mu[1])
save_grid(sys.argv[2], images, data.image_shape, columns=12)
print(f"12 images from a seven to a two in {sys.argv[2]}")
