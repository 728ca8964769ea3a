"""What each part of the latent GAN is worth: the whole beside what it would be without one of them.

    python benchmarks/latent_training.py --small datasets/critters64 --held datasets/critters64-val --large LARGE
    python benchmarks/latent_training.py --only dcgan ... --minutes 15 --seeds 0 1 2

    latent        the recipe: principal components of codes, a decoder trained by features, hinge
    convolutions  netG1 and netD1 of convolutions on codes, as the origin has them
    gauss         no generator: normal noise in the principal components
    l1-decoder    no phase decoder: the autoencoder takes its time as well
    dcgan         no autoencoder: a DCGAN of 64 pixels takes the time of all phases
    refiner       RefinerG with three inputs in ten decoded or generated
    clean         RefinerG with real inputs only

All variants of a table have the same time: each phase is timed over some steps first, in CPU seconds of one thread,
and gets as many as its share of --minutes holds. "CPU s" is what training then took. Distances are of samples, as many
as there are held-out pictures, from those; refiners are judged on held-out pictures that were decoded, as what the
generator makes is, and on clean ones.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from reporting import options, print_header, say, write_json
from torch import Tensor, nn

from srgan.benchmark import table
from srgan.networks.discriminators import SLOPE, spectral
from srgan.networks.latent.factored import Basis
from srgan.progress import Stop, silent
from srgan.training.config import TrainConfig
from srgan.training.latent.adversary import MOST_COORDINATES, Game, make_game, train_generator
from srgan.training.latent.autoencoding import Autoencoder, encode, train_autoencoder, train_decoder
from srgan.training.latent.judging import Gallery, RefinementJudge, SampleJudge, to_pixels
from srgan.training.latent.phase import Work
from srgan.training.latent.pictures import as_floats, large_squares, reduced, small_squares
from srgan.training.latent.refining import train_refiner
from srgan.training.latent.settings import LatentConfig
from srgan.training.runs import Run
from srgan.training.setup import make_fabric

SHARES = {"autoencoder": 0.46, "decoder": 0.28, "gan": 0.26}
"""Of --minutes: what the plan of the shipped model has."""
VARIANTS = ("latent", "convolutions", "gauss", "l1-decoder", "dcgan")
REFINERS = ("refiner", "clean")
TIMED = 12
"""Steps that a phase is timed over, half of which warm it up."""
Z = 64
DCGAN_BATCH = 32
QUICK: dict[str, Any] = {
    "parts": {
        "options": {
            "netRS": {"widths": [4, 4, 4]},
            "netG2": {"widths": [4, 4, 4], "finest": 4},
            "netG1": {"z": 4, "width": 4},
            "netD1": {"width": 4},
            "RefinerG": {"width": 4, "deep": 4},
            "RefinerD": {"width": 4},
        }
    },
    "gan": {"batch": 4},
}


class DirectGenerator(nn.Module):
    """DCGAN (Radford et al. 2016), narrow: noise N x 64 to pictures N x 3 x 64 x 64 in [0, 1]; 0.46 M weights."""

    def __init__(self, widths: tuple[int, ...] = (128, 96, 64, 32)) -> None:
        super().__init__()
        self.z = Z
        layers: list[nn.Module] = [nn.ConvTranspose2d(Z, widths[0], 4, bias=False)]
        for number, width in enumerate(widths):
            outputs = (*widths, 3)[number + 1]
            layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, outputs, 4, 2, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, noise: Tensor) -> Tensor:
        """In [0, 1]."""
        return (torch.tanh(self.layers(noise[:, :, None, None])) + 1) / 2


class DirectCritic(nn.Module):
    """Its critic, with spectral normalisation: pictures to scores N x 1."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 96, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((3, *widths), widths, strict=False):
            layers += [spectral(nn.Conv2d(inputs, outputs, 4, 2, padding=1)), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, spectral(nn.Conv2d(widths[-1], 1, 4)), nn.Flatten())

    def forward(self, pictures: Tensor) -> Tensor:
        """Of pictures in [0, 1]."""
        return self.layers(2 * pictures - 1)


class Bench:
    """One seed: what variants share, and a folder and a configuration for each."""

    def __init__(self, given: argparse.Namespace, seed: int, folder: Path) -> None:
        self.given, self.seed, self.folder = given, seed, folder
        start = self.work("start", {})
        self.gallery = Gallery(small_squares(start.config), start.device)
        self.budget = 60 * given.minutes
        self._shared: tuple[Autoencoder, Tensor, float] | None = None

    def work(self, name: str, steps: dict[str, int], **values: Any) -> Work:
        """A training of its own with so many ``steps`` by phase."""
        given = self.given
        phases = {"autoencoder": 1, "gan": 1, "decoder": 0, "refiner": 0, **steps}
        base: dict[str, Any] = {**(QUICK if given.quick else {}), **values}
        base["parts"] = {**base.get("parts", {}), **values.get("parts", {})}
        config = TrainConfig.model_validate(
            {
                "recipe": "latent",
                "seed": self.seed,
                "steps": sum(phases.values()),
                "phases": phases,
                "data": {"folders": [given.small], "batch": 24, "augment": False},
                "validation": {"folder": given.held, "max_pictures": given.pictures, "every": 10**9},
                "hardware": {"device": "cpu", "threads": 1},
                "output": {"tensorboard": False, "samples": 1, "checkpoint_every": 10**9},
                **base,
                "refiner": {"folders": given.large or [], **base.get("refiner", {})},
            }
        )
        assert isinstance(config, LatentConfig)
        run = Run(self.folder / name)
        run.folder.mkdir(parents=True, exist_ok=True)
        return Work(config=config, run=run, fabric=make_fabric(config.hardware), report=silent, stop=Stop())

    def steps(self, phase: str, seconds: float, train: Callable[[Work], object], **values: Any) -> int:
        """How many steps of ``phase`` fit into CPU ``seconds``, by those that ``train`` takes for a few."""
        if self.given.quick:
            return 2
        times = []
        for number in (TIMED // 2, TIMED):
            work = self.work(f"timing-{time.monotonic_ns()}", {phase: number}, **values)
            began = time.process_time()
            train(work)
            times.append(time.process_time() - began)
        return max(1, round(seconds * (TIMED - TIMED // 2) / max(1e-3, times[1] - times[0])))

    def shared(self) -> tuple[Autoencoder, Tensor, float]:
        """The autoencoder with its decoder of the phase decoder, the codes, and the CPU seconds of both."""
        if self._shared is None:
            gallery = self.gallery
            first = self.steps(
                "autoencoder", SHARES["autoencoder"] * self.budget, lambda w: train_autoencoder(w, gallery)
            )
            began = time.process_time()
            work = self.work("shared", {"autoencoder": first})
            both = train_autoencoder(work, gallery)
            spent = time.process_time() - began
            codes = encode(both.netRS, gallery.squares.training, work.device)
            second = self.steps(
                "decoder",
                SHARES["decoder"] * self.budget,
                lambda w: train_decoder(w, gallery, copy.deepcopy(both), codes),
            )
            began = time.process_time()
            train_decoder(self.work("shared", {"autoencoder": first, "decoder": second}), gallery, both, codes)
            self._shared = both, codes, spent + time.process_time() - began
        return self._shared

    def row(self, variant: str) -> dict[str, Any]:
        """One variant, trained and judged."""
        say(f"latent: {variant}, seed {self.seed}")
        return getattr(self, f"_{variant.replace('-', '_')}")()  # type: ignore[no-any-return]

    def _game(self, name: str, both: Autoencoder, codes: Tensor, before: float, **values: Any) -> dict[str, Any]:
        def train(work: Work) -> nn.Module:
            return train_generator(work, self.gallery, make_game(work, codes), both.netG2)

        steps = self.steps("gan", SHARES["gan"] * self.budget, train, **values)
        began = time.process_time()
        generator = train(self.work(name, {"gan": steps}, **values))
        return self._judged(name, lambda n: both.netG2(generator(n)), generator.z, steps, before, began)

    def _judged(
        self, name: str, make: Callable[[Tensor], Tensor], z: Any, steps: int, before: float, began: float
    ) -> dict[str, Any]:
        seconds = before + time.process_time() - began
        judge = SampleJudge(self.gallery, lambda _, noise: make(noise), z)
        figures = judge.score(None, torch.device("cpu"))  # type: ignore[arg-type]
        self._keep(name, judge.samples(None, torch.device("cpu"), 4))  # type: ignore[arg-type]
        return {"variant": name, "seed": self.seed, "cpu_seconds": seconds, "gan_steps": steps, **figures}

    def _keep(self, name: str, page: Any) -> None:
        if self.given.sheets:
            self.given.sheets.mkdir(parents=True, exist_ok=True)
            Image.fromarray(page).save(self.given.sheets / f"{name}-{self.seed}.png")

    def _latent(self) -> dict[str, Any]:
        return self._game("latent", *self.shared())

    def _convolutions(self) -> dict[str, Any]:
        options = {"netG1": {"z": Z, "width": 64}, "netD1": {"width": 64}}
        both = {"forms": {"netG1": "origin", "netD1": "origin"}}
        kept = QUICK["parts"]["options"] if self.given.quick else {}
        return self._game("convolutions", *self.shared(), parts={**both, "options": {**kept, **options}})

    def _gauss(self) -> dict[str, Any]:
        both, codes, before = self.shared()
        basis = Basis(min(MOST_COORDINATES, len(codes) // 2))
        basis.fit(codes)
        began = time.process_time()
        return self._judged("gauss", lambda n: both.netG2(basis.codes(n * basis.root)), basis.size, 0, before, began)

    def _l1_decoder(self) -> dict[str, Any]:
        seconds = (SHARES["autoencoder"] + SHARES["decoder"]) * self.budget
        steps = self.steps("autoencoder", seconds, lambda w: train_autoencoder(w, self.gallery))
        began = time.process_time()
        work = self.work("l1-decoder", {"autoencoder": steps})
        both = train_autoencoder(work, self.gallery)
        codes = encode(both.netRS, self.gallery.squares.training, work.device)
        return self._game("l1-decoder", both, codes, time.process_time() - began)

    def _dcgan(self) -> dict[str, Any]:
        def train(work: Work) -> nn.Module:
            torch.manual_seed(work.seed("gan"))
            generator, critic = work.placed(DirectGenerator()), work.placed(DirectCritic())
            game = Game(generator, critic, generator, critic, self.gallery.squares.training)
            return train_generator(work, self.gallery, game, nn.Identity())

        batch = {"gan": {"batch": 4 if self.given.quick else DCGAN_BATCH}}
        steps = self.steps("gan", sum(SHARES.values()) * self.budget, train, **batch)
        began = time.process_time()
        generator = train(self.work("dcgan", {"gan": steps}, **batch))
        return self._judged("dcgan", generator, Z, steps, 0.0, began)

    def refiners(self, names: list[str]) -> list[dict[str, Any]]:
        """A row for each of the refiners, on inputs of the shared networks and a generator of theirs."""
        both, codes, _ = self.shared()
        squares = large_squares(self.work("large", {"refiner": 1}).config)
        found = self.work("refiner-inputs", {"gan": 2 if self.given.quick else 2000})
        generator = train_generator(found, self.gallery, make_game(found, codes), both.netG2)
        held = squares.held_out
        with torch.no_grad():
            decoded = to_pixels(both(as_floats(reduced(held), found.device)))
        judges = {"clean": RefinementJudge(held), "decoded": RefinementJudge(held, decoded)}
        rows = []
        for name in names:
            say(f"latent: {name}, seed {self.seed}")
            small = {"batch": 2, "patch": 8} if self.given.quick else {}
            section = {"refiner": {**small, "made": 0.0 if name == "clean" else 0.3}}
            train = lambda work: train_refiner(work, squares, both, generator)  # noqa: E731 - used twice below
            steps = self.steps("refiner", self.budget / 3, train, **section)
            began = time.process_time()
            network = train(self.work(name, {"refiner": steps}, **section))
            seconds = time.process_time() - began
            row = {"variant": name, "seed": self.seed, "cpu_seconds": seconds, "steps": steps}
            for inputs, judge in judges.items():
                figures = judge.score(network, found.device)
                row |= {f"{key}, {inputs}": value for key, value in figures.items()}
            rows.append(row)
        return rows


def main() -> None:
    """Train, judge and print."""
    given = _arguments()
    header = print_header("one thread, CPU seconds; samples against as many held-out pictures; one run per seed")
    rows: list[dict[str, Any]] = []
    refined: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="srgan-latent-") as name:
        if given.quick:
            _make_pictures(given, Path(name))
        for seed in given.seeds:
            bench = Bench(given, seed, Path(name) / str(seed))
            rows += [bench.row(variant) for variant in VARIANTS if variant in given.only]
            if wanted := [variant for variant in REFINERS if variant in given.only]:
                refined += bench.refiners(wanted)
            floor = bench.gallery.floor()
    figures = ("fd-squeeze", "kid-squeeze", "fd-pixels", "diversity", "novelty")
    if rows:
        print(
            table(("variant", "seed", "CPU s", "steps", *figures), [_cells(row, "gan_steps", figures) for row in rows])
        )
        print(f"\nReal against real: {', '.join(f'{key} {value:.3g}' for key, value in floor.items())}.\n")
    if refined:
        figures = tuple(key for key in refined[0] if "psnr" in key or "lpips" in key)
        print(
            table(("variant", "seed", "CPU s", "steps", *figures), [_cells(row, "steps", figures) for row in refined])
        )
    write_json(given.json, header | {"rows": rows + refined, "floor": floor})


def _arguments() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--small", type=Path, help="pictures of 64 pixels")
    parser.add_argument("--held", type=Path, help="held-out ones; without it a tenth of --small")
    parser.add_argument("--large", type=Path, nargs="*", help="pictures of 512 pixels, for the refiners")
    parser.add_argument("--pictures", type=int, default=5000, help="held-out pictures and samples")
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes of a variant; a third for a refiner")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=(*VARIANTS, *REFINERS), default=[*VARIANTS, *REFINERS])
    parser.add_argument("--sheets", type=Path, help="folder for sheets of samples")
    given = parser.parse_args()
    if not given.quick and given.small is None:
        parser.error("give --small, and --large for the refiners: scripts/render_critters.py makes both")
    return given


def _make_pictures(given: argparse.Namespace, folder: Path) -> None:
    """Flat discs, to try the script with."""
    random = np.random.default_rng(0)
    for name, side, count in (("small", 64, 40), ("large", 512, 16)):
        (folder / name).mkdir()
        rows, columns = np.mgrid[:side, :side] / side
        for number in range(count):
            pixels = np.broadcast_to(random.integers(0, 256, 3), (side, side, 3)).copy()
            y, x = random.uniform(0.3, 0.7, 2)
            pixels[(rows - y) ** 2 + (columns - x) ** 2 < 0.06] = random.integers(0, 256, 3)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    given.small, given.held, given.large = folder / "small", None, [folder / "large"]


def _cells(row: dict[str, Any], steps: str, figures: tuple[str, ...]) -> list[str]:
    return [
        row["variant"],
        str(row["seed"]),
        f"{row['cpu_seconds']:.0f}",
        str(row[steps]),
        *(f"{row[figure]:.3g}" for figure in figures),
    ]


if __name__ == "__main__":
    main()
