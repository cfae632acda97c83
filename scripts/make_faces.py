"""Makes faces.npz, the pixel faces that ship with the package: 10,000 of 16x16 in colour, with seven attributes each.

python -m scripts.make_faces            (about a minute; needs Node.js with npm, and a network)

make_faces.mjs beside this file draws them with the packages below, from fixed seeds.
"""

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ddpm.data import ASSETS

PACKAGES = ("@dicebear/core@9.4.3", "@dicebear/pixel-art@9.4.3", "@resvg/resvg-js@2.6.2")
SCRIPT = Path(__file__).with_suffix(".mjs")

with tempfile.TemporaryDirectory() as folder:
    subprocess.run(["npm", "install", "--silent", "--prefix", folder, *PACKAGES], check=True)
    shutil.copy(SCRIPT, folder)  # a script's packages are looked for beside it
    drawn = subprocess.run(["node", f"{folder}/{SCRIPT.name}"], check=True, stdout=subprocess.PIPE, text=True).stdout
attributes, *faces = map(json.loads, drawn.splitlines())
pixels = b"".join(base64.b64decode(face["pixels"]) for face in faces)
images = np.frombuffer(pixels, np.uint8).reshape(len(faces), 16, 16, 4)
assert (images[..., 3] == 255).all()
np.savez_compressed(
    ASSETS / "faces.npz",
    images=images[..., :3],
    labels=np.array([face["labels"] for face in faces], np.uint8),
    attributes=json.dumps(attributes),
)
