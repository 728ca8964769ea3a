"""What video codecs leave of a picture: more loss for coarser steps, nothing moved, no colour shifted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("av", reason="video artefacts need PyAV")

from srgan.errors import MissingDependency  # noqa: E402 (torch first: without it nothing here can run)
from srgan.training.degradation.second_order import SecondOrder  # noqa: E402
from srgan.training.degradation.settings import DegradationSection  # noqa: E402
from srgan.training.degradation.video import CODECS, need_codecs, through_video  # noqa: E402

Tensor = torch.Tensor
COARSEST = {"mpeg2": 31, "mpeg4": 31, "h264": 51}
FINEST = {"mpeg2": 1, "mpeg4": 1, "h264": 0}


def gray(height: int, width: int) -> Tensor:
    """A smooth gray picture, in which halving the colour loses nothing."""
    coarse = torch.rand(1, 1, height // 8 + 1, width // 8 + 1, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)[0]
    return ((smooth * 255).round() / 255).expand(3, height, width).contiguous()


def loss(picture: Tensor, codec: str, quantiser: int, path: Sequence[tuple[int, int]] = ()) -> float:
    return float((through_video(picture, codec, quantiser, path) - picture).abs().mean()) * 255


@pytest.mark.parametrize("path", [(), ((4, -2), (2, -1))], ids=["key frame", "three frames"])
@pytest.mark.parametrize("codec", CODECS)
def test_coarser_steps_lose_more_and_the_finest_next_to_nothing(codec: str, path: Sequence[tuple[int, int]]) -> None:
    picture = gray(32, 48)
    fine, coarse = (loss(picture, codec, quantiser[codec], path) for quantiser in (FINEST, COARSEST))

    assert fine < 1
    assert coarse > fine + 4


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(32, 32), (17, 46), (8, 9)])
def test_any_size_comes_back_whole_and_in_place(codec: str, size: tuple[int, int]) -> None:
    """A picture that had moved by a pixel would differ by more than the codec's finest steps."""
    picture = gray(*size)
    shown = through_video(picture, codec, FINEST[codec], ((2, 2),))
    error = (shown - picture).abs()
    moved = (picture[:, 1:, 1:] - picture[:, :-1, :-1]).abs()

    assert shown.shape == picture.shape
    assert error.mean() < moved.mean() / 3
    assert torch.equal((shown * 255).round() / 255, shown)


@pytest.mark.parametrize("codec", CODECS)
def test_colours_stay(codec: str) -> None:
    colour = torch.tensor([200.0, 90.0, 30.0])[:, None, None] / 255
    shown = through_video(colour.expand(3, 32, 32), codec, FINEST[codec])

    assert ((shown - colour).mean(dim=(1, 2)) * 255).abs().max() < 1.5


@pytest.mark.parametrize("codec", CODECS)
def test_frames_before_it_leave_their_mark(codec: str) -> None:
    picture, quantiser = gray(32, 32), (FINEST[codec] + COARSEST[codec]) // 2
    alone, followed = (through_video(picture, codec, quantiser, path) for path in ((), ((2, 1),)))

    assert not torch.equal(alone, followed)
    assert torch.equal(followed, through_video(picture, codec, quantiser, ((2, 1),)))


# ------------------------------------------------------------------------------------------- in a degradation


def degrade(**video: Any) -> SecondOrder:
    settings = {"kind": "second-order", "webp": 0.0, "avif": 0.0, "video": video}
    return SecondOrder(DegradationSection.model_validate(settings), 4)


def test_a_video_takes_the_place_of_the_second_jpeg_for_as_many_as_were_asked_for() -> None:
    described = degrade(chance=0.5, h264=0.0).describe((64, 64), range(200))
    videos = [second for _, second in described if "MPEG" in second]

    assert 70 < len(videos) < 130
    assert not any("JPEG" in second for second in videos)
    assert any("MPEG-2" in second for second in videos)
    assert any("MPEG-4" in second for second in videos)
    assert not any("H.264" in second for _, second in described)


def test_the_settings_of_videos_are_kept() -> None:
    settings = {"chance": 1.0, "mpeg2": 0, "mpeg4": 0, "quantiser_h264": [22, 24], "frames": [2, 3]}
    seen = {second.rpartition("H.264 ")[2] for _, second in degrade(**settings).describe((64, 64), range(100))}

    assert seen == {f"q{q}, {frames} frames" for q in (22, 23, 24) for frames in (2, 3)}


def test_a_sample_with_a_video_does_not_depend_on_its_batch() -> None:
    pictures = torch.stack([gray(64, 64)] * 6)
    video = degrade(chance=0.7)
    batch = video(pictures, range(6))

    assert torch.equal(batch, torch.cat([video(pictures[i : i + 1], [i]) for i in range(6)]))


def test_videos_do_not_change_what_happens_to_the_others() -> None:
    """A chance of 0, the default, leaves the samples of a seed as they were before there were videos."""
    pictures, seeds = torch.stack([gray(64, 64)] * 8), range(8)
    none, some = degrade(), degrade(chance=0.4)
    spared = [i for i, (_, second) in enumerate(some.describe((64, 64), seeds)) if "q" not in second]

    assert 0 < len(spared) < 8
    assert torch.equal(none(pictures, seeds)[spared], some(pictures, seeds)[spared])


def test_a_library_that_is_missing_is_named_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert degrade(chance=0.0)
    with pytest.raises(MissingDependency, match=r"av is not installed.*srgan\[video\]"):
        degrade(chance=0.1)


def test_a_build_without_the_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.training.degradation.video._ENCODERS", {"h264": "libnothing", "mpeg2": "mpeg2video"})
    need_codecs(["mpeg2"])
    with pytest.raises(MissingDependency, match="av with the encoder libnothing"):
        need_codecs(["mpeg2", "h264"])
