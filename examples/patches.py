"""Cut two photographs that come with scikit-learn into a folder of small pictures in colour.

python examples/patches.py patches
"""

import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images

SIDE = 16
folder = Path(sys.argv[1])
folder.mkdir()
for k, photo in enumerate(load_sample_images().images):
    rows, columns, _ = photo.shape
    for top in range(0, rows - SIDE + 1, SIDE):
        for left in range(0, columns - SIDE + 1, SIDE):
            patch = Image.fromarray(photo[top : top + SIDE, left : left + SIDE])
            patch.save(folder / f"{k}-{top:03}-{left:03}.png")
print(f"{len(list(folder.iterdir()))} pictures of {SIDE}x{SIDE} in {folder}")
