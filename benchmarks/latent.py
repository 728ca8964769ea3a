"""How far the forms and precisions of a latent model are from its networks in 32 bits, and what a picture costs.

    python benchmarks/latent.py [--model BUNDLE] [--pictures 100]

Differences are those of generated pictures, in levels of 255. With --model they are against the bundle's own weights on
torch in fp32. Without it the networks are the narrow ones in full size: the linear paths are fitted to the example
photographs, the learnt layers random; then the first row is what rounding the weights to 16 bits changes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from reporting import ROOT, options, print_header, say, undisturbed, write_json
from torch import Tensor, nn

from srgan.errors import SrganError
from srgan.generation import LatentModel, noise_of
from srgan.imaging import read_picture
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.networks.latent import SIDE, build_part
from srgan.networks.latent.deployed import deployed
from srgan.networks.latent.embedding import NarrowDecoder, NarrowEncoder, fit_linear
from srgan.networks.latent.export import latent_facts, latent_forms
from srgan.networks.latent.factored import FactoredGenerator

WAYS = (("torch", "fp32"), ("ncnn", "fp32"), ("onnx", "fp32"), ("ncnn", "bf16"), ("torch", "bf16"))
SMALL: dict[str, dict[str, Any]] = {
    "netG1": {"z": 8, "width": 16, "coordinates": 12},
    "netG2": {"widths": (8, 8, 8), "finest": 8},
    "netRS": {"widths": (8, 8, 8)},
}
Pictures = NDArray[np.float32]


@undisturbed()
def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", type=Path, help="a latent model; default: networks that are not trained")
    parser.add_argument("--pictures", type=int, default=100, help="number of generated pictures")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.pictures = 4
    torch.set_num_threads(1)
    protocol = f"{arguments.pictures} pictures of seed 0, one thread, one at a time; median of CPU time, models open"
    document = print_header(protocol)
    with tempfile.TemporaryDirectory(prefix="srgan-") as folder:
        rows, bundle = [], arguments.model and Bundle.open(arguments.model)
        if bundle is None:
            say("fitting and exporting the networks")
            networks = untrained(SMALL if arguments.quick else {})
            bundle = exported(networks, SMALL if arguments.quick else {}, Path(folder))
            rows.append(of_rounding(networks, bundle, arguments.pictures))
        rows += of_ways(bundle, arguments.pictures)
    print("| way | largest difference | mean | ms a picture |\n|---|---|---|---|")
    for row in rows:
        cost = "-" if row["ms"] is None else f"{row['ms']:.2f}"
        print(f"| {row['way']} | {row['largest']:.4f} | {row['mean']:.4f} | {cost} |")
    write_json(arguments.json, {**document, "rows": rows})


def untrained(sizes: dict[str, dict[str, Any]]) -> tuple[FactoredGenerator, NarrowDecoder, NarrowEncoder]:
    """The three networks with linear paths that fit, statistics that fit, and learnt layers that are random."""
    torch.manual_seed(0)
    generator, decoder, encoder = (build_part(role, **sizes.get(role, {})) for role in ("netG1", "netG2", "netRS"))
    assert isinstance(generator, FactoredGenerator)
    assert isinstance(decoder, NarrowDecoder)
    assert isinstance(encoder, NarrowEncoder)
    tiles = torch.from_numpy(np.concatenate([tiles_of(path) for path in sorted((ROOT / "examples").glob("*.png"))]))
    tiles = torch.cat([tiles, tiles.flip(2), tiles.flip(3), tiles.flip(2, 3)])
    fit_linear(encoder, decoder, tiles)
    with torch.no_grad():
        for head in (encoder.head, decoder.head):
            nn.init.normal_(head.weight, std=0.02)
        for _ in range(20):  # the norm's running statistics
            encoder(tiles[torch.randperm(len(tiles))[:64]])
        codes = encoder.eval()(tiles)
        while len(codes) <= generator.basis.size:
            codes = torch.cat([codes, codes + 0.1 * torch.randn_like(codes)])
        generator.basis.fit(codes)
        noise = torch.randn(512, generator.z)
        for _ in range(20):
            generator(noise)
        raw, last = generator.eval().layers(noise), generator.layers[-1]
        assert isinstance(last, nn.Linear)
        last.weight.div_(raw.std(dim=0)[:, None])  # coordinates of about the deviation that codes have
        last.bias.copy_((last.bias - raw.mean(dim=0)) / raw.std(dim=0))
    decoder.eval()
    return generator, decoder, encoder


def tiles_of(path: Path) -> Pictures:
    """The picture at ``path`` in tiles, N x 3 x 64 x 64."""
    pixels = read_picture(path).colour
    pixels = pixels[: len(pixels) // SIDE * SIDE, : pixels.shape[1] // SIDE * SIDE, :3]
    tiles = pixels.reshape(len(pixels) // SIDE, SIDE, -1, SIDE, pixels.shape[2]).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(np.broadcast_to(tiles, (*tiles.shape[:2], 3, SIDE, SIDE)).reshape(-1, 3, SIDE, SIDE))


def exported(networks: tuple[nn.Module, nn.Module, nn.Module], sizes: dict[str, Any], folder: Path) -> Bundle:
    info = ModelInfo(name="untrained", network_options=sizes, **latent_facts(*networks))
    return write_bundle(folder / "untrained", info, latent_forms(*networks, info))


def of_rounding(networks: tuple[nn.Module, nn.Module, nn.Module], bundle: Bundle, count: int) -> dict[str, Any]:
    """What 16 bits for a weight change."""
    assert bundle.info.latent is not None
    noise = np.stack([noise_of(0, number, bundle.info.latent.noise) for number in range(count)])
    with torch.no_grad():
        whole: Tensor = deployed(networks[1])(deployed(networks[0])(torch.from_numpy(noise)[:, :, None, None]))
    wanted = whole.clamp(0, 1).permute(0, 2, 3, 1).numpy()
    made, _ = generated(bundle, "torch", "fp32", count)
    return {"way": "weights in 16 bits / in 32 bits", **differing(made, wanted), "ms": None}


def of_ways(bundle: Bundle, count: int) -> list[dict[str, Any]]:
    rows, wanted = [], None
    for backend, precision in WAYS:
        try:
            made, cost = generated(bundle, backend, precision, count)
        except SrganError as error:
            say(f"skipped: {backend}, {precision}: {error}")
            continue
        wanted = made if wanted is None else wanted
        rows.append({"way": f"{backend}, {precision}", **differing(made, wanted), "ms": cost})
    return rows


def generated(bundle: Bundle, backend: str, precision: str, count: int) -> tuple[Pictures, float]:
    """Pictures, and the milliseconds of CPU time that one took."""
    with LatentModel(bundle, backend=backend, precision=precision, device="cpu", threads=1) as model:
        made, times = [], []
        for number in range(count):
            began = time.process_time()
            made.append(model.decode(model.codes(noise_of(0, number, model.shape.noise)[None]))[0])
            times.append(1000 * (time.process_time() - began))
    return np.stack(made), statistics.median(times)


def differing(made: Pictures, wanted: Pictures) -> dict[str, float]:
    apart = 255 * np.abs(made - wanted)
    return {"largest": float(apart.max()), "mean": float(apart.mean())}


if __name__ == "__main__":
    main()
