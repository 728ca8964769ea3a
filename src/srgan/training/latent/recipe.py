"""Recipe `latent`: the phases one after the other, each taking what the one before it has made.

    autoencoder   netRS, netG2   pictures to codes and back
    decoder       netG2          codes to crisp pictures
    gan           netG1          noise to codes
    refiner       RefinerG       64 pixels to 512

A run's folder has one for each of them, laid out as that of any run (`srgan.training.runs`), besides

    bundle/            the model that generates: netG1, netG2 and netRS
    NAME-refiner-x8/   RefinerG, which enlarges any picture 8 times; the other finds it there
    manifest.json      what the held-out pictures say of them

A joint phase behind them, of all networks together, is left out: samples come from netG1 and netG2 alone, the decoder
phase has moved netG2 by what the eye sees, and gradients of a picture's critic through netG2 into netG1 would cost ten
times a step in coordinates.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from srgan.errors import Cancelled
from srgan.models import Bundle
from srgan.networks.network import Network
from srgan.progress import Report, Stop
from srgan.training.finishing import ALL_DONE
from srgan.training.latent.adversary import make_game, noise_of, train_generator
from srgan.training.latent.autoencoding import Autoencoder, encode, train_autoencoder, train_decoder
from srgan.training.latent.bundles import publish_all, write_latent, write_manifest, write_refiner
from srgan.training.latent.judging import Gallery, ReconstructionJudge, SampleJudge, collapse
from srgan.training.latent.phase import Work
from srgan.training.latent.pictures import Squares, large_squares, small_squares
from srgan.training.latent.refining import train_refiner
from srgan.training.latent.settings import LatentConfig
from srgan.training.runs import Run, open_run
from srgan.training.setup import make_fabric

FEW = 5000
"""Held-out pictures below which a Frechet distance is mostly the bias of its estimate."""

log = logging.getLogger("srgan")


def latent(config: LatentConfig, *, resume: bool | Path, report: Report, stop: Stop) -> Bundle:
    """Train all phases as ``config`` says and return the bundle that generates.

    A run that was interrupted goes on in the phase where it was, bit for bit on a CPU. Raises `Cancelled`,
    `srgan.training.loop.WentBack`, `TrainingFailed`, `InvalidDataset`, `InvalidConfig` and `CannotWrite` as all recipes
    do. Mistakes in the configuration show before anything is decoded, those in pictures before anything is trained.
    """
    run = open_run(config, resume=resume)
    with run.held():
        fabric = make_fabric(config.hardware, Run(run.folder / "autoencoder"))
        work = Work(config=config, run=run, fabric=fabric, report=report, stop=stop)
        trained = train_all(work)
        if stop.is_set():
            raise Cancelled(f"{run.folder}: {ALL_DONE}")
        return finish(work, trained)


@dataclass(frozen=True)
class Trained:
    """What the phases have made, and how good it is."""

    both: Autoencoder
    generator: nn.Module
    refiner: Network | None
    manifest: dict[str, Any]


def train_all(work: Work) -> Trained:
    """All phases, and the figures of what came of them."""
    small = small_squares(work.config)
    large = large_squares(work.config) if work.steps("refiner") else None
    gallery = Gallery(small, work.device)
    _introduce(work, gallery)
    both = train_autoencoder(work, gallery)
    codes = encode(both.netRS, small.training, work.device)
    if work.steps("decoder"):
        train_decoder(work, gallery, both, codes)
    generator = train_generator(work, gallery, make_game(work, codes), both.netG2)
    refiner = train_refiner(work, large, both, generator) if large is not None else None
    manifest = describe(work, gallery, both, generator, large)
    return Trained(both, generator, refiner, manifest)


def _introduce(work: Work, gallery: Gallery) -> None:
    """Say how many pictures there are, and what their distances are worth."""
    floor = ", ".join(f"{name} {value:.3g}" for name, value in gallery.floor().items())
    log.info(
        "%s: %d pictures to learn from, %d held out; real against real: %s",
        work.run.folder,
        len(gallery.squares.training),
        gallery.count,
        floor,
    )
    if gallery.count < FEW:
        log.info("Frechet distances of fewer than %d pictures are too large; compare them within this run only", FEW)


def describe(
    work: Work, gallery: Gallery, both: Autoencoder, generator: nn.Module, large: Squares | None
) -> dict[str, Any]:
    """What the manifest says: figures of the networks as they were chosen, over the held-out pictures."""
    section = work.config.validation
    judge = SampleJudge(gallery, lambda network, noise: both.netG2(network(noise)), noise_of(generator))
    remade = ReconstructionJudge(gallery, lambda network, batch: network(batch))
    samples = judge.score(generator, work.device)  # type: ignore[arg-type]  # an nn.Module does
    distance = samples[section.best]
    collapsed = collapse(samples)
    return {
        "name": work.config.output.name,
        "training pictures": len(gallery.squares.training),
        "held-out pictures": gallery.count,
        "large pictures": len(large.training) if large else 0,
        "floor": gallery.floor(),
        "reconstructions": remade.score(both, work.device),  # type: ignore[arg-type]
        "samples": samples,
        "judged by": section.best,
        "distance": distance,
        "release threshold": section.fid_threshold,
        "release grade": not collapsed and distance <= section.fid_threshold,
        "collapsed": collapsed,
    }


def finish(work: Work, trained: Trained) -> Bundle:
    """Write the manifest and the bundles, the one that says that the run has finished last; publish them."""
    manifest = trained.manifest
    write_manifest(work, manifest)
    grade = "release grade" if manifest["release grade"] else "not release grade"
    log.info(
        "%s: %s of samples %.4g, %s (at most %g); floor %.3g, reconstructions %.4g; diversity %.2f, novelty %.2f",
        work.run.folder,
        manifest["judged by"],
        manifest["distance"],
        grade,
        manifest["release threshold"],
        manifest["floor"][manifest["judged by"]],
        manifest["reconstructions"][manifest["judged by"]],
        manifest["samples"]["diversity"],
        manifest["samples"]["novelty"],
    )
    if manifest["collapsed"]:
        log.warning("%s: %s", work.run.folder, manifest["collapsed"])
    refiners = [write_refiner(work, trained.refiner, manifest)] if trained.refiner else []
    bundle = write_latent(work, trained.generator, trained.both.netG2, trained.both.netRS, manifest)
    publish_all(work, [bundle, *refiners], manifest)
    return bundle
