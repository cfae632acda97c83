"""Makes math.woff2, the font of the page's equations: the part of TeX Gyre Pagella Math that they may need.

python -m scripts.make_math_font texgyrepagella-math.otf        (needs fonttools and brotli, which nothing else does)

The file is in Debian's fonts-texgyre-math, and at https://www.gust.org.pl/projects/e-foundry/tg-math.
"""

import sys

from fontTools import subset

from ddpm.data import ASSETS

# Latin and Greek upright and slanted, figures, brackets, operators, arrows, and what stands over or under a letter.
# Which of them grow and how far, where a hat sits and how a root is put together is in the table MATH, which stays.
RANGES = (
    *((0x20, 0x7E), (0xA0, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2C6, 0x2DC), (0x300, 0x308), (0x391, 0x3F6)),
    *((0x2010, 0x2044), (0x2070, 0x209C), (0x210E, 0x210E), (0x2190, 0x2194), (0x2200, 0x2265), (0x2295, 0x2299)),
    *((0x22C5, 0x22C5), (0x27E8, 0x27E9), (0x27F5, 0x27F7), (0x1D434, 0x1D467), (0x1D6E2, 0x1D71B)),
    *((0x1D4A9, 0x1D4A9), (0x1D53C, 0x1D53C), (0x210A, 0x2115), (0x211D, 0x211D)),
)

options = subset.Options(flavor="woff2", layout_features=["ssty", "dtls", "flac"], name_IDs=[0, 13, 14], hinting=False)
font = subset.load_font(sys.argv[1], options)
subsetter = subset.Subsetter(options)
subsetter.populate(unicodes=[code for first, last in RANGES for code in range(first, last + 1)])
subsetter.subset(font)
subset.save_font(font, str(ASSETS / "math.woff2"), options)
