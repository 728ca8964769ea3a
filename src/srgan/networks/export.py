"""Writing a trained network in every form that a model bundle holds, and proving that all of them compute the same.

    model.ncnn.param, model.ncnn.bin   by pnnx from the traced network; weights in 16 bits
    model.onnx                         opset 17, any batch and size; weights in 16 bits, cast to 32 in the graph
    weights.safetensors                the deployed network's weights in 16 bits

The weights are rounded to 16 bits before anything is written, so the forms hold the same numbers. Each form is then run
by its own engine beside the torch module, at a size other than that of the trace.

A network of several outputs becomes one graph: ONNX has them by name, ncnn as out0, out1 and so on in their order.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from srgan.errors import MissingDependency, UnsupportedModel
from srgan.networks import build

if TYPE_CHECKING:
    from srgan.networks.network import Network

Module = TypeVar("Module", bound=nn.Module)

ONNX, SAFETENSORS, NCNN_PARAM, NCNN_BIN = "model.onnx", "weights.safetensors", "model.ncnn.param", "model.ncnn.bin"
"""The names of the forms in a bundle (`srgan.models.bundle` has them too; rooms on one line do not know each other)."""

TOLERANCE = 2e-4
"""Largest difference between a form and the torch module, as a share of the output's range; 1/255 is 3.9e-3."""

_OPSET = 17
_TRACE_BLOCKS = (16, 24)
_CHECK_BLOCKS = (9, 13)
"""Height and width of the pictures for tracing and for checking, in multiples of the network's `multiple`."""
_SMALLEST_HALVED = 64
"""ONNX tensors with fewer values stay in 32 bits: a cast node for each would cost more than it saves."""
_SMALLEST_NORMAL = 2.0**-14
_PNNX_SECONDS = 600


class Named(Protocol):
    """What is asked of any model's description: `srgan.models.ModelInfo` has it all."""

    @property
    def name(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def network_options(self) -> dict[str, Any]: ...
    @property
    def licence(self) -> str: ...


class Described(Named, Protocol):
    """What is asked of that of a model that enlarges."""

    @property
    def scale(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def radius(self) -> int: ...
    @property
    def multiple(self) -> int: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network that is to be written: ``module``, deployed and rounded, with what is needed to convert and prove it.

    ``sample`` is one input for tracing, ``trial`` two for checking. Where their height and width differ, a form must
    work for all sizes. ``outputs`` are the names of its outputs in ONNX, ``notes`` what the ONNX file says of it.
    """

    module: nn.Module
    name: str
    sample: torch.Tensor
    trial: torch.Tensor
    outputs: tuple[str, ...] = ("output",)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def any_size(self) -> bool:
        """Whether height and width may vary."""
        return self.sample.shape[2:] != self.trial.shape[2:]


Arrays = list[NDArray[np.float32]]


def export_forms(module: Network, info: Described) -> dict[str, bytes]:
    """All forms of ``module``, by their file names in a bundle. ``module`` itself is left as it is.

    Raises `UnsupportedModel` when ``info`` does not describe ``module``, when a weight does not fit into 16 bits, when
    a converter cannot express the network, or when a form does not compute what the module computes: a wrong form is
    never returned. Raises `MissingDependency` without the libraries of the `train` extra.
    """
    _check_description(module, info)
    plain = rounded(module.deploy(), info.name)
    notes = {"name": info.name, "network": info.network, "scale": str(info.scale), "licence": info.licence}
    subject = Subject(
        module=plain,
        name=info.name,
        sample=_picture(info, _TRACE_BLOCKS),
        trial=_picture(info, _CHECK_BLOCKS, count=2),
        outputs=info.outputs or ("output",),
        notes={**notes, "multiple": str(info.multiple), "radius": str(info.radius)},
    )
    weights, graph, (param, data) = to_safetensors(plain.state_dict(), notes), to_onnx(subject), to_ncnn(subject)
    prove(
        subject,
        {
            SAFETENSORS: lambda x: _run_torch(info, weights, x),
            ONNX: lambda x: run_onnx(subject, graph, x),
            NCNN_BIN: lambda x: run_ncnn(subject, param, data, x),
        },
    )
    return {SAFETENSORS: weights, ONNX: graph, NCNN_PARAM: param, NCNN_BIN: data}


def _check_description(module: Network, info: Described) -> None:
    for name in ("scale", "channels", "radius", "multiple", "outputs"):
        stated, real = getattr(info, name), getattr(module, name)
        if stated != real:
            raise UnsupportedModel(f"{info.name}: model.toml says {name} {stated}, but the network has {real}")


def rounded(deployed: Module, name: str) -> Module:
    """``deployed`` in float32 on the CPU, every weight made a normal number of 16 bits, or zero.

    The numbers below the smallest normal one (6e-5) become zero, because pnnx writes them so: every form then agrees.
    """
    plain = deployed.cpu().float().eval().requires_grad_(False)
    for key, tensor in plain.state_dict().items():
        if tensor.is_floating_point():
            half = tensor.half()
            if not half.isfinite().all():
                raise UnsupportedModel(f"{name}: {key} has values that are not finite, or too large for 16 bits")
            tensor.copy_(half.where(half.abs() >= _SMALLEST_NORMAL, 0.0))
    return plain


def _picture(info: Described, blocks: tuple[int, int], count: int = 1) -> torch.Tensor:
    height, width = (side * info.multiple for side in blocks)
    return torch.rand(count, info.channels, height, width, generator=torch.Generator().manual_seed(20))


# ---------------------------------------------------------------------------------------------------- writing


def to_safetensors(weights: Mapping[str, torch.Tensor], notes: Mapping[str, str]) -> bytes:
    """``weights`` in 16 bits under their names, with ``notes`` beside them."""
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise MissingDependency("safetensors", "train") from error
    halves = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in weights.items()}
    data = save(halves, {"format": "pt", **notes})
    # The library orders the notes by chance, but equal weights should have equal bytes. A file is the length of the
    # header, the header in JSON, and the values at places counted from the header's end.
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def to_onnx(subject: Subject) -> bytes:
    """The ONNX form; the input is called ``input``."""
    try:
        import onnx
    except ImportError as error:
        raise MissingDependency("onnx", "train") from error
    sides = ({2: "height", 3: "width"}, {2: "height_out", 3: "width_out"}) if subject.any_size else ({}, {})
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="srgan-export-") as folder:
        # The exporter that torch advises needs onnxscript and ties dynamic sizes down; this one is complete for us.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            subject.module,
            (subject.sample,),
            f"{folder}/{ONNX}",
            dynamo=False,
            opset_version=_OPSET,
            input_names=["input"],
            output_names=list(subject.outputs),
            dynamic_axes={
                "input": {0: "count", **sides[0]},
                **{name: {0: "count", **sides[1]} for name in subject.outputs},
            },
        )
        model = onnx.load(f"{folder}/{ONNX}")
    _inline_identities(model.graph)
    _halve_weights(model.graph)
    model.producer_name = "srgan"
    onnx.helper.set_model_props(model, dict(subject.notes))
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _inline_identities(graph: Any) -> None:
    """Let each node read its weights directly: the exporter puts an Identity in front of equal ones."""
    weights = {tensor.name for tensor in graph.initializer}
    alias = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity" and n.input[0] in weights}
    kept = [node for node in graph.node if node.output[0] not in alias]
    for node in kept:
        for index, name in enumerate(node.input):
            node.input[index] = alias.get(name, name)
    del graph.node[:]
    graph.node.extend(kept)


def _halve_weights(graph: Any) -> None:
    """Store the weights in 16 bits, each with a Cast that gives its old name to the 32-bit values."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and values.size >= _SMALLEST_HALVED:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def to_ncnn(subject: Subject) -> tuple[bytes, bytes]:
    """The ncnn form: its graph and its weights."""
    try:
        import pnnx
    except ImportError as error:
        raise MissingDependency("pnnx", "train") from error
    with tempfile.TemporaryDirectory(prefix="srgan-export-") as name:
        folder = Path(name)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(subject.module, subject.sample, check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(traced, str(folder / "model.pt"))
        # Two shapes that differ make the sizes in the graph dynamic.
        inputs = {"inputshape": subject.sample, **({"inputshape2": subject.trial[:1]} if subject.any_size else {})}
        shapes = [f"{key}={list(x.shape)}".replace(" ", "") for key, x in inputs.items()]
        chatter = _run_pnnx([pnnx.EXEC_PATH, "model.pt", *shapes, "fp16=1"], folder, subject.name)
        try:
            return (folder / NCNN_PARAM).read_bytes(), (folder / NCNN_BIN).read_bytes()
        except OSError as error:
            raise UnsupportedModel(f"{subject.name}: pnnx cannot convert the network:\n{chatter}") from error


def _run_pnnx(command: list[str], folder: Path, name: str) -> str:
    """Run the converter and return the end of what it says; it reports failure by leaving no files only."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_PNNX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnsupportedModel(f"{name}: pnnx did not finish in {_PNNX_SECONDS} seconds") from error
    except OSError as error:
        raise UnsupportedModel(f"{name}: pnnx cannot be started: {error}") from error
    return done.stdout.strip()[-2000:]


# --------------------------------------------------------------------------------------------------- checking


def prove(subject: Subject, forms: Mapping[str, Callable[[NDArray[np.float32]], Arrays]]) -> None:
    """Run each of ``forms`` on the trial as ``subject.module``; compare all outputs.

    Raises `UnsupportedModel` for one that differs by more than `TOLERANCE`.
    """
    wanted = run_module(subject.module, subject.trial)
    if not all(np.isfinite(output).all() for output in wanted):
        raise UnsupportedModel(f"{subject.name}: the network gives values that are not finite")
    for form, run in forms.items():
        made = run(subject.trial.numpy())
        for name, got, want in zip(subject.outputs, made, wanted, strict=True):
            what = f"{form} ({name})" if len(subject.outputs) > 1 else form
            if got.shape != want.shape:
                raise UnsupportedModel(f"{subject.name}: {what} gives {got.shape}, the network {want.shape}")
            with np.errstate(all="ignore"):
                error = float(np.abs(got - want).max())
            if not error <= TOLERANCE * max(1.0, float(np.abs(want).max())):
                raise UnsupportedModel(f"{subject.name}: {what} differs from the network by {error:.2g}")


def run_module(network: nn.Module, inputs: torch.Tensor) -> Arrays:
    """All outputs of ``network``."""
    with torch.no_grad():
        made = network(inputs)
    return [output.numpy() for output in (made if isinstance(made, tuple) else (made,))]


def load_weights(network: nn.Module, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Put ``weights`` into ``network``. Raises `UnsupportedModel` where they are not for it."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise UnsupportedModel(f"{name}: the weights are not for the network described: {error}") from error


def _run_torch(info: Described, weights: bytes, inputs: NDArray[np.float32]) -> Arrays:
    from safetensors.torch import load

    with torch.random.fork_rng(devices=[]):
        fresh = build(info.network, info.scale, **info.network_options).deploy()
    load_weights(fresh, load(weights), info.name)
    return run_module(fresh, torch.from_numpy(inputs))


def run_onnx(subject: Subject, graph: bytes, inputs: NDArray[np.float32]) -> Arrays:
    """What the ONNX form gives."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency("onnxruntime", "train") from error
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    made: Arrays = session.run(list(subject.outputs), {"input": inputs})
    return made


def run_ncnn(subject: Subject, param: bytes, data: bytes, inputs: NDArray[np.float32]) -> Arrays:
    """What the ncnn form gives, one input after the other."""
    import ncnn

    outputs: list[Arrays] = [[] for _ in subject.outputs]
    with tempfile.TemporaryDirectory(prefix="srgan-export-") as folder, ncnn.Net() as net:
        for file, content in ((NCNN_PARAM, param), (NCNN_BIN, data)):
            Path(folder, file).write_bytes(content)
        net.opt.use_vulkan_compute = False
        net.opt.use_sgemm_convolution = False
        if net.load_param(f"{folder}/{NCNN_PARAM}") or net.load_model(f"{folder}/{NCNN_BIN}"):
            raise UnsupportedModel(f"{subject.name}: ncnn cannot load what pnnx made; it knows no such layer")
        for one in inputs:
            with net.create_extractor() as extractor:
                extractor.input("in0", ncnn.Mat(np.ascontiguousarray(one)).clone())
                for number, made in enumerate(outputs):
                    status, out = extractor.extract(f"out{number}")
                    if status:
                        raise UnsupportedModel(f"{subject.name}: ncnn cannot run what pnnx made (code {status})")
                    made.append(np.array(out))
    return [np.stack(made) for made in outputs]
