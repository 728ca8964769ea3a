"""The losses of video codecs, made by FFmpeg through PyAV, on the CPU, a picture at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from srgan.errors import MissingDependency
from srgan.training.degradation.bicubic import mirrored
from srgan.training.degradation.colour import doubled, halved, to_rgb, to_ycc

CODECS = ("mpeg2", "mpeg4", "h264")
_ENCODERS = {"mpeg2": "mpeg2video", "mpeg4": "mpeg4", "h264": "libx264"}
_DECODERS = {"mpeg2": "mpeg2video", "mpeg4": "mpeg4", "h264": "h264"}
_FARTHEST = 16


def need_codecs(codecs: Sequence[str]) -> None:
    """Raise `MissingDependency` unless each of ``codecs`` can be encoded here."""
    try:
        import av
    except ImportError as error:
        raise MissingDependency("av", "video") from error
    for codec in codecs:
        try:
            av.Codec(_ENCODERS[codec], "w")
        except ValueError as error:
            raise MissingDependency(f"A build of av with the encoder {_ENCODERS[codec]}", "video") from error


def through_video(picture: Tensor, codec: str, quantiser: int, path: Sequence[tuple[int, int]] = ()) -> Tensor:
    """Show ``picture`` (3 x H x W in [0, 1]) as the last frame of a short video and decode that frame.

    ``codec`` is one of `CODECS`; ``quantiser`` is its own measure of coarseness: 1 to 31, or 0 to 51 for h264. ``path``
    has an entry for each frame before the last: by how many pixels, at most 16 down and right, the picture was moved
    then. The last frame is then predicted from them; without any it is a key frame. The result is rounded to 8 bit;
    device and type stay. Colour is stored at half its resolution.
    """
    need_codecs((codec,))
    height, width = picture.shape[-2:]
    levels = (picture.detach().cpu().float() * 255).round().clamp(0, 255)[None]
    packets: list[Any] = []
    encoder = _encoder(codec, quantiser, height + -height % 16, width + -width % 16)
    for number, frame in enumerate(_frames(levels, path)):
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return (_decoded(codec, packets)[0, :, :height, :width] / 255).to(picture)


def _encoder(codec: str, quantiser: int, height: int, width: int) -> Any:
    import av

    encoder: Any = av.CodecContext.create(_ENCODERS[codec], "w")
    encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    if codec == "h264":
        # Without zerolatency it would look for scenes in frames to come, which are not there.
        encoder.options = {"preset": "veryfast", "tune": "zerolatency", "qp": str(quantiser)}
    else:
        encoder.options = {"qmin": str(quantiser), "qmax": str(quantiser)}
    return encoder


def _frames(levels: Tensor, path: Sequence[tuple[int, int]]) -> Iterator[Any]:
    """Frames that show ``levels`` where it was along ``path``, and last where it is."""
    import av

    height, width = levels.shape[-2:]
    rows, columns = mirrored(height, _FARTHEST), mirrored(width, _FARTHEST)
    for down, right in (*path, (0, 0)):
        moved = levels[..., rows[_FARTHEST - down :][:height], :]
        moved = moved[..., columns[_FARTHEST - right :][:width]]
        light, colour = to_ycc(functional.pad(moved, (0, -width % 16, 0, -height % 16), mode="replicate"))
        planes = torch.cat([light.flatten(), halved(colour).flatten()]).to(torch.uint8)
        # The frame's own conversion from RGB would shift colours by a level or two.
        yield av.VideoFrame.from_ndarray(planes.reshape(-1, light.shape[-1]).numpy(), format="yuv420p")


def _decoded(codec: str, packets: Sequence[Any]) -> Tensor:
    """The last frame of ``packets``, as RGB levels."""
    import av

    decoder: Any = av.CodecContext.create(_DECODERS[codec], "r")
    decoder.thread_count = 1
    frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    height, width = frames[-1].height, frames[-1].width
    planes = torch.from_numpy(frames[-1].to_ndarray().astype(np.float32)).flatten()
    light = planes[: height * width].reshape(1, 1, height, width)
    colour = planes[height * width :].reshape(1, 2, height // 2, width // 2)
    return to_rgb(light, doubled(colour))
