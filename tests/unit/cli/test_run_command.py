"""A command prints its job, the job prints its command, and `srgan run` does what the command would do."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from PIL import Image

from srgan import cli, jobs
from srgan.cli.commandline import command_of
from srgan.errors import InvalidConfig
from srgan.settings import Job, Section

Srgan = Callable[..., Any]

COMMANDS = [
    "upscale a.png b.png",
    "upscale a.png - --model bicubic --width 30 --height 20 --resample nearest",
    "upscale -- -a.png -b.png",
    "upscale a.png b.tif --long-side 600 --no-provenance --tta --trust 0.25 --strategy soup --overwrite",
    "upscale a.png b.png --set upscale.scale=2 --width 30",
    "upscale a.png b.png --set limits.max_pixels=100 --set runtime.memory_limit=2000000 --uncertainty 'a map.png'",
    "batch-process in out",
    "batch-process in out --scale 2 --name '{stem}_x{scale}' --existing rename --workers 3 --no-recursive",
    "batch-process in out --include '*.png' --include '*.jpg' --exclude 'drafts/*' --report a.csv --report b.json",
    "batch-process in out --watch --settle 0.5 --retry-failed --contact-sheet page.html --overwrite",
    "evaluate fast turbo Set5 --metrics psnr,ssim,grid --limit 3 --seed 4 --degrade jpeg",
    "train --set 'data.folders=[photos, \"more photos\"]' --fresh --output model.zip",
    "train --set data.folders=[photos] --resume runs/a/001 --set steps=70",
    "train --set data.folders=[a] --set recipe=adversarial --set discriminator.name=patch --set optimiser.clip=2",
    'train --set \'data.folders=["a\x7f", "\U0001f600"]\'',
    "train --set data.folders=[a] --set 'network.options={width: 32}' --set output.description='say \"it\"'",
    "generate new --model mine --count 5 --seed 3 --first 2 --truncation 0.7 --size 512 --refiner other",
    "generate sheet.png -m mine --interpolate 3 9 --steps 5 --grid --overwrite --set runtime.memory_limit=2000000",
    "encode a.png b.png codes.npz -m mine --whole --set limits.max_pixels=100",
    "reconstruct -m mine --device cpu -- -a.png b.png",
    "evaluate Set5 --results 'mine=my results' --results other --html a.html --worst-by ssim --scale 2",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_a_job_and_a_command_again(command: str, srgan: Srgan) -> None:
    words = shlex.split(command)
    first = srgan(*words[:1], "--print-job", *words[1:])
    assert first.code == 0, first.err
    said = srgan(*words[:1], "--print-command", *words[1:]).out
    assert said.startswith("srgan ")

    again = shlex.split(said)[1:]
    assert srgan(*again[:1], "--print-job", *again[1:]).out == first.out
    assert srgan(*again[:1], "--print-command", *again[1:]).out == said


def test_a_command_says_what_the_settings_file_says(
    srgan: Srgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.toml").write_text('[upscale]\nmodel = "turbo"\n[limits]\nmax_side = 99\n')
    monkeypatch.setenv("SRGAN_UPSCALE__TTA", "true")

    said = srgan("upscale", "a.png", "b.png", "--config", tmp_path / "my.toml", "--print-command").out

    assert said == "srgan upscale --model=turbo --tta --set limits.max_side=99 a.png b.png\n"


def test_nothing_is_done_when_the_job_is_printed(srgan: Srgan, picture: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())

    srgan("upscale", picture, tmp_path / "large.png", "--print-job")
    srgan("batch-process", tmp_path, tmp_path / "out", "--print-command")

    assert sorted(tmp_path.iterdir()) == before


def test_a_picture_of_a_job_is_that_of_the_command(srgan: Srgan, picture: Path, tmp_path: Path) -> None:
    arguments = ("upscale", picture, tmp_path / "large.png", "--model", "bicubic", "--scale", "3")
    (tmp_path / "job.json").write_text(srgan(*arguments, "--print-job").out)
    by_command = srgan(*arguments)
    made = (tmp_path / "large.png").read_bytes()
    (tmp_path / "large.png").unlink()

    by_job = srgan("run", tmp_path / "job.json")

    assert (tmp_path / "large.png").read_bytes() == made
    assert by_job.code == by_command.code == 0
    assert by_job.out.rpartition(",")[0] == by_command.out.rpartition(",")[0], "the same sentence, but for the time"
    assert srgan("run", tmp_path / "job.json").code == 7, "exists already"


def test_a_folder_of_a_job_is_that_of_the_command(srgan: Srgan, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture.rename(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    arguments = ("batch-process", tmp_path / "in", tmp_path / "out", "--model", "nearest", "--scale", "2")
    (tmp_path / "job.json").write_text(srgan(*arguments, "--print-job").out)

    done = srgan("run", tmp_path / "job.json")

    assert done.code == 1
    assert done.out.startswith("1 done, 1 failed of 2 in ")
    assert "srgan: error: " in done.err
    assert "b.png" in done.err
    again = srgan(*arguments)
    assert again.out.startswith("1 skipped, 1 failed of 2"), "known by what makes the result, not by who asks"


def test_a_job_may_come_from_standard_input(
    srgan: Srgan, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = srgan("upscale", picture, tmp_path / "large.png", "-m", "nearest", "--scale", "2", "--print-job").out
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))

    done = srgan("run", "-", "--json")

    assert json.loads(done.out)["output"]["width"] == 24


def test_the_picture_cannot_come_from_where_the_job_came(
    srgan: Srgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = srgan("upscale", "-", tmp_path / "large.png", "--print-job").out
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))

    done = srgan("run", "-")

    assert (done.code, done.out) == (2, "")
    assert "standard input cannot provide both the job" in done.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "nothing.json: cannot be read: No such file"),
        (b"not json", "job.json: is not valid JSON"),
        (b"\xff\xfe", "job.json: is not valid JSON"),
        (b'{"kind": "upscale", "sorce": "a"}', "job.json: sorce: unknown key"),
        (b'{"kind": "paint"}', "job.json: There is no kind of job 'paint'"),
        (b'{"kind": "upscale", "source": "a", "source": "b", "target": "c"}', "the key 'source' is there twice"),
        (b'{"kind": "upscale", "source": 5, "target": "c"}', "job.json: source: must be a path, not 5"),
        (b" " * (16 << 20) + b"{}", "job.json: is larger than 16 MiB"),
    ],
)
def test_what_is_no_job_is_refused(content: bytes | None, said: str, srgan: Srgan, tmp_path: Path) -> None:
    path = tmp_path / ("nothing.json" if content is None else "job.json")
    if content is not None:
        path.write_bytes(content)

    done = srgan("run", path)

    assert (done.code, done.out) == (2, "")
    assert said in done.err


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=6) | st.sampled_from(
    ["-", "--", "-x", "null", "true", "1", "[a]", "{b: 1}", "'q'", '"', "a,b", "a=b", " x ", "a\nb", "~", "\udcff", "%"]
)


def values_of(annotation: Any, bounds: Any = ()) -> st.SearchStrategy[Any]:
    """Values, as JSON has them, for a field that is annotated so; nothing for one that has a form of its own."""
    origin, inner = get_origin(annotation), get_args(annotation)
    least = next((bound.ge for bound in bounds if hasattr(bound, "ge")), 1)
    most = next((bound.le for bound in bounds if hasattr(bound, "le")), None)
    if origin in (Union, UnionType):
        return st.one_of([values_of(one, bounds) for one in inner])
    if origin is Annotated:
        return values_of(inner[0], (*bounds, *inner[1:]))
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple and inner[1:] == (...,):
        return st.lists(values_of(inner[0]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return fields_of(annotation)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        type(None): st.none(),
        bool: st.booleans(),
        int: st.integers(least, most),
        float: st.floats(least, most, allow_nan=False, allow_infinity=False),
        str: TEXTS,
        Path: TEXTS,
    }
    return plain.get(annotation, st.nothing())


@cache
def fields_of(model: type[Section]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: known for name, known in model.model_fields.items() if name not in ("kind", "version")}
    values = {name: values_of(known.annotation, known.metadata) for name, known in fields.items()}
    needed = {name for name, known in fields.items() if known.is_required()}
    return st.fixed_dictionaries(
        {name: values[name] for name in needed},
        optional={name: value for name, value in values.items() if name not in needed and not value.is_empty},
    )


@pytest.mark.parametrize("kind", jobs.KINDS.builtin)
@given(data=st.data())
@settings(suppress_health_check=list(HealthCheck))
def test_any_job_is_that_of_its_command(kind: str, data: st.DataObject, srgan: Srgan) -> None:
    try:
        job = jobs.load({"kind": kind, **data.draw(fields_of(jobs.KINDS.load(kind).load_model()))})
    except InvalidConfig:  # settings that contradict each other
        reject()
    command, *words = shlex.split(command_of(job))[1:]

    made = srgan(command, "--print-job", *words)

    assert made.code == 0, made.err
    assert jobs.load(made.out) == jobs.load(job.to_json()) == job


def test_the_command_has_the_bytes_of_names_that_are_not_unicode(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.run(["upscale", "\udcff.png", "\udcfe b.png", "--print-command"]) == 0
    assert capsysbinary.readouterr().out == b"srgan upscale '\xff.png' '\xfe b.png'\n"


@pytest.mark.parametrize("name", ["a\0.png", "\ud800.png"])
def test_what_no_program_can_be_called_with_is_refused(name: str) -> None:
    with pytest.raises(InvalidConfig, match="no command line can hold"):
        command_of(jobs.load({"kind": "upscale", "source": name, "target": "b.png"}))


def test_only_the_picture_is_taken_from_standard_input(
    srgan: Srgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps({"kind": "batch", "source": "-", "target": str(tmp_path / "out")})
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))

    assert "-: no such folder" in srgan("run", "-").err


def test_a_kind_without_a_command_says_so() -> None:
    class Odd(Job):
        kind: str = "odd"

    with pytest.raises(InvalidConfig, match="no command corresponds to jobs of kind odd"):
        command_of(Odd())


def test_the_schema_of_every_kind(srgan: Srgan) -> None:
    for kind in jobs.KINDS.builtin:
        schema = json.loads(srgan("config", "schema", "--job", kind).out)
        assert schema["properties"]["kind"]["const"] == kind
        assert schema["additionalProperties"] is False


def test_a_large_picture_is_announced(srgan: Srgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.upscaler.files.WORTH_TELLING", 1)
    Image.new("L", (20, 10)).save(tmp_path / "a.png")

    done = srgan("upscale", tmp_path / "a.png", tmp_path / "b.png", "-m", "bicubic")

    assert done.err.startswith("80x40 pixels: about ")
    assert srgan("-q", "upscale", tmp_path / "a.png", tmp_path / "c.png", "-m", "bicubic").err == ""
