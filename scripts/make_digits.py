"""Makes digits.npz, the digits that ship with the package: the first 1,000 of each class of the MNIST training set.

python -m scripts.make_digits data        (a folder with MNIST in torchvision's layout; downloaded if missing)
"""

import sys

import numpy as np
from torchvision.datasets import MNIST

from ddpm.data import ASSETS

PER_CLASS = 1000

mnist = MNIST(root=sys.argv[1], train=True, download=True)
images, labels = mnist.data.numpy(), mnist.targets.numpy().astype(np.uint8)
keep = np.sort(np.concatenate([np.flatnonzero(labels == digit)[:PER_CLASS] for digit in range(10)]))
np.savez_compressed(ASSETS / "digits.npz", images=images[keep], labels=labels[keep])
