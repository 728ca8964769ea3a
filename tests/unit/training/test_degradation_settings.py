"""The section `data.degradation`: what contradicts itself is refused, with the way out."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from srgan.training.degradation.settings import DegradationSection


def section(**values: Any) -> DegradationSection:
    return DegradationSection.model_validate(values)


def test_videos_are_off_until_they_are_asked_for() -> None:
    assert section().video.chance == 0


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"webp": 0.5, "avif": 0.3, "video": {"chance": 0.3}}, "together they must be at most 1"),
        ({"webp": 0.6, "avif": 0.5}, "together they must be at most 1"),
        ({"video": {"mpeg2": 0, "mpeg4": 0, "h264": 0}}, "to disable video artefacts, set chance to 0"),
        ({"video": {"quantiser": [5, 4]}}, "put the smaller number first"),
        ({"video": {"quantiser": [0, 4]}}, "greater than or equal to 1"),
        ({"video": {"quantiser_h264": [20, 52]}}, "less than or equal to 51"),
        ({"video": {"frames": [0, 1]}}, "greater than or equal to 1"),
        ({"video": {"motion": 3}}, "less than or equal to 2"),
        ({"video": {"codec": "vp9"}}, "Extra inputs are not permitted"),
        ({"first": {"resize": [1.1, 1.5]}}, "resize must include 1"),
        ({"second": {"up": 0, "down": 0, "keep": 0}}, "to disable resizing, set keep to 1"),
        ({"first": {"jpeg_quality": [90, 30]}}, "the range from 90 to 30 is empty"),
        ({"first": {"blur": 1.5}}, "less than or equal to 1"),
        ({"mix": {"second_order": 0, "phone": 0, "web": 0, "scan": 0, "screen": 0}}, "all shares of the mix are 0"),
        ({"web": {"jpeg": 0, "webp": 0, "avif": 0}}, "to leave out web pages, set mix.web to 0"),
        ({"still": {"mpeg2": 0, "mpeg4": 0, "h264": 0}}, "to leave out stills, set mix.still to 0"),
        ({"screen": {"palette_colours": [1, 300]}}, "palette_colours must be from 2 to 256"),
        ({"phone": {"photons": [9, 5]}}, "put the smaller number first"),
        ({"scan": {"period": [0.5, 70]}}, "less than or equal to 64"),
        ({"mix": {"fax": 1}}, "Extra inputs are not permitted"),
        ({"resizers": {"area": 0, "bilinear": 0, "bicubic": 0}}, "all shares of resizing methods are 0"),
    ],
)
def test_what_contradicts_itself_is_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        section(**values)


def test_files_may_take_the_place_of_every_second_jpeg() -> None:
    assert section(webp=0.3, avif=0.3, video={"chance": 0.4})
