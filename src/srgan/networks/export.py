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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from srgan.errors import MissingDependency, UnsupportedModel
from srgan.networks import build

if TYPE_CHECKING:
    from srgan.networks.network import Network

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


class Described(Protocol):
    """What is asked of a model's description: `srgan.models.ModelInfo` has it all."""

    @property
    def name(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def network_options(self) -> dict[str, Any]: ...
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
    @property
    def licence(self) -> str: ...


def export_forms(module: Network, info: Described) -> dict[str, bytes]:
    """All forms of ``module``, by their file names in a bundle. ``module`` itself is left as it is.

    Raises `UnsupportedModel` when ``info`` does not describe ``module``, when a weight does not fit into 16 bits, when
    a converter cannot express the network, or when a form does not compute what the module computes: a wrong form is
    never returned. Raises `MissingDependency` without the libraries of the `train` extra.
    """
    _check_description(module, info)
    plain = _rounded(module, info.name)
    forms = {SAFETENSORS: _to_safetensors(plain, info), ONNX: _to_onnx(plain, info)}
    forms |= _to_ncnn(plain, info)
    _check(plain, info, forms)
    return forms


def _check_description(module: Network, info: Described) -> None:
    for field in ("scale", "channels", "radius", "multiple", "outputs"):
        stated, real = getattr(info, field), getattr(module, field)
        if stated != real:
            raise UnsupportedModel(f"{info.name}: model.toml says {field} {stated}, but the network has {real}")


def _rounded(module: Network, name: str) -> Network:
    """The deployed network in float32 on the CPU, every weight a normal number of 16 bits, or zero.

    The numbers below the smallest normal one (6e-5) become zero, because pnnx writes them so: every form then agrees.
    """
    plain = module.deploy().cpu().float().eval().requires_grad_(False)
    for key, tensor in plain.state_dict().items():
        if tensor.is_floating_point():
            half = tensor.half()
            if not half.isfinite().all():
                raise UnsupportedModel(f"{name}: {key} has values that are not finite, or too large for 16 bits")
            tensor.copy_(half.where(half.abs() >= _SMALLEST_NORMAL, 0.0))
    return plain


def _names(info: Described) -> list[str]:
    """The names of the outputs in the ONNX graph."""
    return list(info.outputs) or ["output"]


def _picture(info: Described, blocks: tuple[int, int], count: int = 1) -> torch.Tensor:
    height, width = (side * info.multiple for side in blocks)
    return torch.rand(count, info.channels, height, width, generator=torch.Generator().manual_seed(20))


# ---------------------------------------------------------------------------------------------------- writing


def _to_safetensors(plain: Network, info: Described) -> bytes:
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise MissingDependency("safetensors", "train") from error
    halves = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in plain.state_dict().items()}
    notes = {"format": "pt", "name": info.name, "network": info.network, "scale": str(info.scale)}
    data = save(halves, {**notes, "licence": info.licence})
    # The library orders the notes by chance, but equal weights should have equal bytes. A file is the length of the
    # header, the header in JSON, and the values at places counted from the header's end.
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _to_onnx(plain: Network, info: Described) -> bytes:
    try:
        import onnx
    except ImportError as error:
        raise MissingDependency("onnx", "train") from error
    outputs = _names(info)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="srgan-export-") as folder:
        # The exporter that torch advises needs onnxscript and ties dynamic sizes down; this one is complete for us.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            plain,
            (_picture(info, _TRACE_BLOCKS),),
            f"{folder}/{ONNX}",
            dynamo=False,
            opset_version=_OPSET,
            input_names=["input"],
            output_names=outputs,
            dynamic_axes={
                "input": {0: "count", 2: "height", 3: "width"},
                **{name: {0: "count", 2: "height_out", 3: "width_out"} for name in outputs},
            },
        )
        model = onnx.load(f"{folder}/{ONNX}")
    _inline_identities(model.graph)
    _halve_weights(model.graph)
    model.producer_name = "srgan"
    notes = {"name": info.name, "network": info.network, "scale": str(info.scale), "licence": info.licence}
    onnx.helper.set_model_props(model, {**notes, "multiple": str(info.multiple), "radius": str(info.radius)})
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


def _to_ncnn(plain: Network, info: Described) -> dict[str, bytes]:
    try:
        import pnnx
    except ImportError as error:
        raise MissingDependency("pnnx", "train") from error
    first, second = _picture(info, _TRACE_BLOCKS), _picture(info, _CHECK_BLOCKS)
    with tempfile.TemporaryDirectory(prefix="srgan-export-") as name:
        folder = Path(name)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(plain, first, check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(traced, str(folder / "model.pt"))
        # Two shapes that differ make the sizes in the graph dynamic.
        shapes = [
            f"{key}={list(x.shape)}".replace(" ", "") for key, x in (("inputshape", first), ("inputshape2", second))
        ]
        chatter = _run_pnnx([pnnx.EXEC_PATH, "model.pt", *shapes, "fp16=1"], folder, info.name)
        try:
            return {file: (folder / file).read_bytes() for file in (NCNN_PARAM, NCNN_BIN)}
        except OSError as error:
            raise UnsupportedModel(f"{info.name}: pnnx cannot convert the network:\n{chatter}") from error


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


def _check(plain: Network, info: Described, forms: dict[str, bytes]) -> None:
    """Run every form on the same two pictures as ``plain``, of a size that none was made at; compare all outputs."""
    pictures = _picture(info, _CHECK_BLOCKS, count=2)
    wanted = _run(plain, pictures)
    if not all(np.isfinite(picture).all() for picture in wanted):
        raise UnsupportedModel(f"{info.name}: the network gives values that are not finite")
    for form, run in ((SAFETENSORS, _run_torch), (ONNX, _run_onnx), (NCNN_BIN, _run_ncnn)):
        made = run(info, forms, pictures.numpy())
        for name, got, want in zip(_names(info), made, wanted, strict=True):
            what = f"{form} ({name})" if info.outputs else form
            if got.shape != want.shape:
                raise UnsupportedModel(f"{info.name}: {what} gives {got.shape}, the network {want.shape}")
            with np.errstate(all="ignore"):
                error = float(np.abs(got - want).max())
            if not error <= TOLERANCE * max(1.0, float(np.abs(want).max())):
                raise UnsupportedModel(f"{info.name}: {what} differs from the network by {error:.2g}")


def _run(network: Network, pictures: torch.Tensor) -> list[NDArray[np.float32]]:
    """All outputs of ``network``."""
    with torch.no_grad():
        made = network(pictures)
    return [picture.numpy() for picture in (made if isinstance(made, tuple) else (made,))]


def _run_torch(info: Described, forms: dict[str, bytes], pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    from safetensors.torch import load

    with torch.random.fork_rng(devices=[]):
        fresh = build(info.network, info.scale, **info.network_options).deploy()
    try:
        fresh.load_state_dict(load(forms[SAFETENSORS]))
    except RuntimeError as error:
        raise UnsupportedModel(f"{info.name}: the weights are not for the network described: {error}") from error
    return _run(fresh, torch.from_numpy(pictures))


def _run_onnx(info: Described, forms: dict[str, bytes], pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency("onnxruntime", "train") from error
    session = onnxruntime.InferenceSession(forms[ONNX], providers=["CPUExecutionProvider"])
    made: list[NDArray[np.float32]] = session.run(_names(info), {"input": pictures})
    return made


def _run_ncnn(info: Described, forms: dict[str, bytes], pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    import ncnn

    outputs: list[list[NDArray[np.float32]]] = [[] for _ in _names(info)]
    with tempfile.TemporaryDirectory(prefix="srgan-export-") as folder, ncnn.Net() as net:
        for file in (NCNN_PARAM, NCNN_BIN):
            Path(folder, file).write_bytes(forms[file])
        net.opt.use_vulkan_compute = False
        net.opt.use_sgemm_convolution = False
        if net.load_param(f"{folder}/{NCNN_PARAM}") or net.load_model(f"{folder}/{NCNN_BIN}"):
            raise UnsupportedModel(f"{info.name}: ncnn cannot load what pnnx made; it knows no such layer")
        for picture in pictures:
            with net.create_extractor() as extractor:
                extractor.input("in0", ncnn.Mat(np.ascontiguousarray(picture)).clone())
                for number, made in enumerate(outputs):
                    status, out = extractor.extract(f"out{number}")
                    if status:
                        raise UnsupportedModel(f"{info.name}: ncnn cannot run what pnnx made (code {status})")
                    made.append(np.array(out))
    return [np.stack(made) for made in outputs]
