"""The end of a run: its manifest, its two bundles, and their places among the versions of models."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from torch import nn

from srgan.atomic import write_whole
from srgan.models import Bundle, ModelInfo, Provenance, write_bundle
from srgan.models.bundle import LATEST, latest_of
from srgan.models.versions import manifest_of, publish
from srgan.networks.latent.factored import FactoredGenerator
from srgan.networks.network import Network
from srgan.training.features import looked_through
from srgan.training.finishing import trained_on, write_model
from srgan.training.latent.phase import Work
from srgan.training.latent.settings import PHASES
from srgan.training.runs import config_hash
from srgan.training.state import plain_of

MANIFEST = "manifest.json"
REFINERS = {"narrow": "refiner", "origin": "origin-refiner"}
"""The forms of RefinerG as networks that enlarge."""

log = logging.getLogger("srgan")


def refiner_name(work: Work) -> str:
    """What the model of RefinerG is called."""
    return f"{work.config.output.name}-refiner-x8"


def write_refiner(work: Work, refiner: Network, manifest: Mapping[str, Any]) -> Bundle:
    """The bundle of RefinerG, an ordinary model that enlarges 8 times, where that of the generator looks for it."""
    output = work.config.output
    return write_model(
        work.run.folder / refiner_name(work),
        refiner.deploy(),
        name=refiner_name(work),
        family=f"{output.name}-refiner",
        description=f"Takes what {output.name} makes, and any picture, to 8 times its size.",
        network=REFINERS[work.config.form("RefinerG")],
        network_options=work.config.parts.options.get("RefinerG", {}),
        licence=output.licence,
        provenance=_provenance(work, manifest, ("refiner",), ()),
    )


def write_latent(
    work: Work, generator: nn.Module, decoder: nn.Module, encoder: nn.Module, manifest: Mapping[str, Any]
) -> Bundle:
    """The bundle that generates, which says that the run has finished: RUN/bundle."""
    from srgan.networks.latent.export import latent_facts, latent_forms

    config, output = work.config, work.config.output
    networks = {"netG1": generator, "netG2": decoder, "netRS": encoder}
    said = latent_facts(generator.cpu(), decoder.cpu(), encoder.cpu())
    if work.steps("refiner"):
        said["latent"] = {**said["latent"], "refiner": refiner_name(work)}
    features = (looked_through(config.loss),) if config.loss.perceptual and config.phases.decoder else ()
    info = ModelInfo(
        **said,
        name=output.name,
        family=output.family,
        description=output.description,
        network_options={role: _options(work, role, network) for role, network in networks.items()},
        licence=output.licence,
        provenance=_provenance(work, manifest, PHASES[:-1], features),
    )
    bundle = write_bundle(work.run.bundle, info, latent_forms(generator, decoder, encoder, info))
    log.info("%s: finished", bundle.path)
    return bundle


def _options(work: Work, role: str, network: nn.Module) -> dict[str, Any]:
    """What `build_part` made ``network`` of, its form included."""
    own = {"coordinates": network.basis.size} if isinstance(network, FactoredGenerator) else {}
    return {"form": work.config.form(role), **work.config.parts.options.get(role, {}), **own}


def _provenance(
    work: Work, manifest: Mapping[str, Any], phases: tuple[str, ...], features: tuple[str, ...]
) -> Provenance:
    config = work.config
    runs = [work.run_of(phase) for phase in phases if work.steps(phase)]
    seconds = sum(plain_of(run.checkpoints()[-1]).get("seconds", 0.0) for run in runs)
    count = manifest["large pictures" if phases == ("refiner",) else "training pictures"]
    return Provenance(
        corpus=config.output.corpus or f"{count} pictures",
        recipe=config.recipe,
        config=config.output.name,
        config_sha256=config_hash(config),
        steps=sum(work.steps(phase) for phase in phases),
        seed=config.seed,
        commit=work.run.commit,
        trained_on=trained_on(work.device, seconds),
        loss_features=features,
    )


def write_manifest(work: Work, manifest: Mapping[str, Any]) -> None:
    """RUN/manifest.json."""
    write_whole(work.run.folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def publish_all(work: Work, bundles: list[Bundle], manifest: Mapping[str, Any]) -> None:
    """Make ``bundles`` versions of their models in `LatentOutput.publish`, the latest where the run is better.

    Better is a smaller distance by the same features over as many pictures; where the latest was judged otherwise, any
    is. A generator that has collapsed is kept as a version and never becomes the latest by itself.
    """
    root = work.config.output.publish
    if root is None:
        return
    folder = root / work.config.output.name
    known = manifest_of(latest_of(folder)) if (folder / LATEST).is_file() else {}
    alike = all(known.get(key) == manifest[key] for key in ("judged by", "held-out pictures"))
    better = not alike or manifest["distance"] < known["distance"]
    promoted = better and not manifest["collapsed"]
    for bundle in bundles:
        version = publish(bundle, root, manifest, promote=promoted)
        latest = latest_of(version.parent)
        log.info("%s: %s", version, "the latest" if latest == version else f"kept; {latest.name} stays the latest")
