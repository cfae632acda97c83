"""Makes the pictures that ship with the package: the first 1,000 of each class of a training set.

python -m scripts.make_bundled mnist data          (digits.npz)
python -m scripts.make_bundled fashion data        (fashion.npz)

data is a folder with the set in torchvision's layout; what is missing is downloaded.
"""

import sys

import numpy as np
from torchvision.datasets import MNIST, FashionMNIST

from ddpm.data import ASSETS

PER_CLASS = 1000
SETS = {"mnist": (MNIST, "digits.npz"), "fashion": (FashionMNIST, "fashion.npz")}

source, file = SETS[sys.argv[1]]
whole = source(root=sys.argv[2], train=True, download=True)
images, labels = whole.data.numpy(), whole.targets.numpy().astype(np.uint8)
keep = np.sort(np.concatenate([np.flatnonzero(labels == label)[:PER_CLASS] for label in range(10)]))
np.savez_compressed(ASSETS / file, images=images[keep], labels=labels[keep])
