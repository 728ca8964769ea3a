"""The beginning that recipes share: device and starting weights before the first step."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from srgan.errors import CorruptModel, InvalidConfig, MissingDependency
from srgan.models import Bundle, find_model
from srgan.models.bundle import SAFETENSORS
from srgan.networks import build
from srgan.networks.foreign import is_foreign, not_finite, take_foreign
from srgan.networks.network import ExpandedConv, Network
from srgan.training.arithmetic import choose_precision
from srgan.training.config import HardwareSection, NetworkSection
from srgan.training.launch import check_launch
from srgan.training.picture_settings import Size
from srgan.training.runs import Run
from srgan.training.state import State

if TYPE_CHECKING:
    from lightning_fabric.plugins import Precision

    from srgan.training.data import TileStore

log = logging.getLogger("srgan")


def make_fabric(hardware: HardwareSection, begun: Run | None = None) -> Any:
    """A launched `lightning_fabric.Fabric` for ``hardware``. ``begun`` is the run that it goes on with.

    With several `HardwareSection.devices` this is one of as many processes, which were started together: by
    `srgan.training.apart` or by torchrun. It changes the process, see `srgan.training.process`. Raises `InvalidConfig`
    for devices that are not there.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise MissingDependency("lightning-fabric", "train") from error

    device, count = hardware.device, hardware.devices
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there = {"cpu": count, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[device]
    if not there:
        raise InvalidConfig(f"hardware.device: this machine or this build of torch has no {device}")
    if count > there:
        raise InvalidConfig(f"hardware.devices: {count} {device} devices requested, but there are {there}")
    check_launch(count)
    # Before the precision, which may be measured.
    if hardware.threads or (count > 1 and device == "cpu"):
        torch.set_num_threads(hardware.threads or max(1, (os.cpu_count() or 1) // count))
    precision = _precision(choose_precision(hardware, device, begun), device)
    strategy = DDPStrategy(
        process_group_backend="nccl" if device == "cuda" else "gloo",
        # Statistics of batch norms are kept by the leader; to exchange them at each step would wait for it.
        broadcast_buffers=False,
    )
    fabric = Fabric(accelerator=device, devices=count, strategy=strategy if count > 1 else "auto", plugins=[precision])
    fabric.launch()
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    of_them = f" in {count} processes" if count > 1 else ""
    if fabric.global_rank == 0:
        arithmetic, threads = precision.precision, torch.get_num_threads()
        log.info("training on %s%s in %s with %d threads", device, of_them, arithmetic, threads)
    return fabric


def _precision(wanted: str, device: str) -> Precision:
    """Fabric's plug-in for the arithmetic ``wanted``, which is not auto, on ``device``."""
    from lightning_fabric.plugins import MixedPrecision, Precision

    if wanted == "fp16":
        if device != "cuda":
            raise InvalidConfig(f"hardware.precision: fp16 is for CUDA devices, not {device}; use bf16 or fp32")
        # A scaler that does nothing: Fabric's would be one for all networks, whose gradients differ by far.
        return MixedPrecision("16-mixed", device, torch.amp.GradScaler(device, enabled=False))
    return MixedPrecision("bf16-mixed", device) if wanted == "bf16" else Precision()


def make_network(
    section: NetworkSection,
    patch: int,
    hardware: HardwareSection | None = None,
    *,
    begun: Run | None = None,
    stages: Sequence[Size] = (),
) -> Network:
    """The network to train, with fresh weights or those of `NetworkSection.init_from`, in training mode.

    ``hardware`` says whether it saves memory, ``begun`` is the run that it goes on with: where that has a checkpoint,
    the model it started from may be gone by now and is not asked for. Raises `InvalidConfig` when the network cannot be
    trained on RGB patches of ``patch`` pixels, or of those of ``stages``, and what `start_from` raises.
    """
    network = _built(section)
    if network.outputs:
        raise InvalidConfig('network.name: an ensemble is trained by its own recipe: set recipe = "ensemble"')
    if network.channels != 3:
        raise InvalidConfig(f"network.options: training pictures have 3 channels, not {network.channels}")
    for side in (patch, *(size.patch for size in stages)):
        if side % network.multiple:
            key = "data.patch" if side == patch else "data.schedule"
            raise InvalidConfig(f"{key}: {section.name!r} takes multiples of {network.multiple}, not {side}")
    if section.init_from and not (begun and begun.checkpoints()):
        start_from(network, section.init_from)
    if hardware and hardware.checkpoint_activations:
        _save_memory(network, compiled=hardware.compile)
    return network


def _built(section: NetworkSection) -> Network:
    """The network with fresh weights. Raises `InvalidConfig`, which names the key."""
    try:
        return build(section.name, section.scale, **section.options)
    except InvalidConfig as error:
        if section.options:
            build(section.name, section.scale)  # raises for what is no matter of options
            raise InvalidConfig(f"network.options: {error}") from error
        raise


def _save_memory(network: Network, *, compiled: bool) -> None:
    """Switch on `Network.recompute`, or raise `InvalidConfig`."""
    parts = [part for part in network.modules() if isinstance(part, Network) and part.recompute is not None]
    if not parts:
        raise InvalidConfig("hardware.checkpoint_activations: this network has no residual blocks to recompute")
    if compiled and any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        raise InvalidConfig(
            "hardware.checkpoint_activations: cannot be combined with hardware.compile for networks with batch norm"
        )
    for part in parts:
        part.recompute = True


def weights_of(bundle: Bundle) -> dict[str, Tensor]:
    """The weights of a model as float32, by the names of its network's layers.

    Raises `CorruptModel`, also when not all of them are finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        weights = {key: value.float() for key, value in load(bundle.read(SAFETENSORS)).items()}
    except SafetensorError as error:
        raise CorruptModel(f"{bundle.path}: {SAFETENSORS} cannot be read: {error}") from error
    if broken := not_finite(weights):
        raise CorruptModel(f"{bundle.path}: {SAFETENSORS}: {broken}")
    return weights


@torch.no_grad()
def start_from(network: Network, model: str) -> None:
    """Take over the weights of the bundle ``model`` whose shapes fit; the rest keeps its fresh start.

    Another program's checkpoint must fit as a whole, see `take_foreign`. Raises `InvalidConfig` when none but the first
    and the last layer fit, since that is another architecture, and what `find_model` raises.
    """
    if is_foreign(model):
        take_foreign(network, Path(model), "network.init_from")
        return
    bundle = find_model(model)
    weights = weights_of(bundle)
    if grown := network.grown(weights):
        log.info("the network grows out of %s: it starts with the same output", bundle.info.name)
        weights = grown
    taken: list[str] = []
    layers = list(network.named_modules())
    for (name, layer), (_, following) in zip(layers, [*layers[1:], ("", None)], strict=True):
        kernel = weights.get(f"{name}.weight")
        if kernel is None:
            continue
        if _take_over(layer, following, kernel, weights.get(f"{name}.bias")):
            taken.append(name)
        else:
            log.info("%s: %s has another shape and starts afresh", bundle.info.name, name)
    # The first and the last layer fit any network of the same width, and are worth nothing around another body.
    if all(name.startswith(network.ends) for name in taken):
        raise InvalidConfig(f"network.init_from: {model}: no inner layer of {bundle.info.network!r} fits this network")
    log.info("%d layers start from %s", len(taken), bundle.info.name)


def origin(start: str) -> tuple[str, tuple[str, ...]]:
    """Name of the model ``start`` (`NetworkSection.init_from`), and the networks that its losses looked through.

    Another program's checkpoint is known by its file's name only. Raises what `find_model` raises.
    """
    if not start or is_foreign(start):
        return Path(start).name, ()
    info = find_model(start).info
    return info.name, info.provenance.loss_features


def _take_over(layer: nn.Module, following: nn.Module | None, kernel: Tensor, bias: Tensor | None) -> bool:
    """Give ``layer`` the weights of a deployed one. False when the shapes differ."""
    if isinstance(layer, ExpandedConv) and kernel.shape == layer.direct.shape:
        layer.absorb(kernel, bias)
        return True
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.shape != kernel.shape:
        return False
    weight.copy_(kernel)
    own = getattr(layer, "bias", None)
    if own is None and isinstance(following, nn.BatchNorm2d):
        # Deploying folded a batch norm into this layer. A fresh one is the identity, but for the bias that it left.
        own = following.bias
    if isinstance(own, Tensor) and bias is not None:
        own.copy_(bias)
    return True


@torch.no_grad()
def settle_norms(state: State, store: TileStore) -> None:
    """Have the batch norms that `start_from` left fresh pass on unchanged what they meet, in training mode too.

    A bundle holds none: they are folded into its convolutions. Fresh ones would divide by the spread of each batch, and
    the start would be lost at the first step. A batch of ``store`` shows them that spread. Call it before the first
    step; a network without batch norms is left alone and draws nothing.
    """

    def settle(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    norms = [layer for layer in state.network.modules() if isinstance(layer, nn.BatchNorm2d)]
    if not norms:
        return
    hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
    state.network.eval()(store.batch()[0])
    state.network.train()
    for hook in hooks:
        hook.remove()
    state.average.load(state.network.state_dict())


def averaged(state: State) -> Network:
    """The main network with the averaged weights, in its form for inference; one that enlarges nothing as it is."""
    network = copy.deepcopy(state.network)
    network.load_state_dict(state.average.state)
    return network.deploy() if isinstance(network, Network) else network.eval()
