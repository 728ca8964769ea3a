"""Pictures in and out: reading, writing, resampling, and what a picture is in memory."""

from srgan.imaging.animation.encoding import animated_format_of
from srgan.imaging.animation.reading import Animation, Frame
from srgan.imaging.degrading import DEGRADATIONS, Degradation, degraded
from srgan.imaging.encoding import Page
from srgan.imaging.formats import PICTURE_SUFFIXES, READABLE, WRITABLE, check_format, estimate_bytes, format_of
from srgan.imaging.inputs import Limits
from srgan.imaging.opening import (
    Input,
    count_frames,
    open_animation,
    open_input,
    open_scan,
    probe_picture,
    read_picture,
)
from srgan.imaging.picture import Picture, Scan, blank, from_uint8, from_uint16, to_uint8, to_uint16
from srgan.imaging.reading import Header
from srgan.imaging.resize import Kernel, resize, resize_strips
from srgan.imaging.writing import (
    encode_animation,
    encode_picture,
    encode_strips,
    write_animation,
    write_pages,
    write_picture,
    write_strips,
)

__all__ = [
    "DEGRADATIONS",
    "PICTURE_SUFFIXES",
    "READABLE",
    "WRITABLE",
    "Animation",
    "Degradation",
    "Frame",
    "Header",
    "Input",
    "Kernel",
    "Limits",
    "Page",
    "Picture",
    "Scan",
    "animated_format_of",
    "blank",
    "check_format",
    "count_frames",
    "degraded",
    "encode_animation",
    "encode_picture",
    "encode_strips",
    "estimate_bytes",
    "format_of",
    "from_uint8",
    "from_uint16",
    "open_animation",
    "open_input",
    "open_scan",
    "probe_picture",
    "read_picture",
    "resize",
    "resize_strips",
    "to_uint8",
    "to_uint16",
    "write_animation",
    "write_pages",
    "write_picture",
    "write_strips",
]
