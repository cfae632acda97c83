"""Makes the pictures that ship with the package: the first 1,000 of each class of a training set, 100 of a test set.

python -m scripts.make_bundled mnist data          (digits.npz, digits-test.npz)
python -m scripts.make_bundled fashion data        (fashion.npz, fashion-test.npz)

data is a folder with the set in torchvision's layout; what is missing is downloaded.
"""

import sys

import numpy as np
from torchvision.datasets import MNIST, FashionMNIST

from ddpm.data import ASSETS

PER_CLASS, TEST_PER_CLASS = 1000, 100
SETS = {"mnist": (MNIST, "digits"), "fashion": (FashionMNIST, "fashion")}

source, name = SETS[sys.argv[1]]
for train, file in ((True, f"{name}.npz"), (False, f"{name}-test.npz")):
    whole = source(root=sys.argv[2], train=train, download=True)
    images, labels = whole.data.numpy(), whole.targets.numpy().astype(np.uint8)
    of_class = [np.flatnonzero(labels == label) for label in range(10)]
    if train:
        chosen = [index[:PER_CLASS] for index in of_class]
    else:  # evenly, as the first half of MNIST's test digits is of easier hands
        chosen = [index[np.linspace(0, len(index) - 1, TEST_PER_CLASS).round().astype(int)] for index in of_class]
    keep = np.sort(np.concatenate(chosen))
    np.savez_compressed(ASSETS / file, images=images[keep], labels=labels[keep])
