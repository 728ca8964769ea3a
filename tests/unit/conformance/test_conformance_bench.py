"""The bench: commands are watched, ended when they must be, and told from what they leave."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from conformance.__main__ import main
from conformance.bench import Bench, Job, Measure, NotRun, Result, Row, Stop, call, judge
from conformance.report import counts, document, results_of, table
from conformance.running import rooted, run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def bench_of(code: str, folder: Path) -> Bench:
    return Bench(Job(shlex.join([*python(code), "{input}", "{output}"])), folder)


def test_a_call_gives_exit_code_and_message(tmp_path: Path) -> None:
    ran = call(python("import sys; print('to whom it concerns', file=sys.stderr); sys.exit(3)"), tmp_path, 10)
    assert (ran.code, ran.last_line()) == (3, "to whom it concerns")
    assert ran.outcome() == "exit code 3: to whom it concerns"


def test_a_call_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    ran = call(python(code), tmp_path, 0.5)
    assert ran.code is None
    assert ran.seconds < 5
    assert "ended by the bench" in ran.outcome()


def test_a_call_that_takes_all_memory_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is watched through /proc")
    monkeypatch.setattr("conformance.bench.MEMORY_CAP", 150 << 20)
    ran = call(python("x = bytearray(400 << 20); import time; time.sleep(30)"), tmp_path, 20)
    assert ran.code is None
    assert ran.peak > 150 << 20


def test_no_file_grows_beyond_its_limit(tmp_path: Path) -> None:
    ran = call(python("open('large', 'wb').write(bytes(100000))"), tmp_path, 10, file_limit=5000)
    assert ran.code not in (0, None)
    assert (tmp_path / "large").stat().st_size <= 5000


def test_a_call_that_is_killed_on_purpose_has_the_signal_for_a_code(tmp_path: Path) -> None:
    ran = call(python("import time; time.sleep(30)"), tmp_path, 20, kill_after=0.3)
    assert ran.code == -9


def test_a_command_that_is_not_there_fails_the_row(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="cannot be started"):
        call(["no-such-program-anywhere"], tmp_path, 5)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit(2)", "exit code 2"),
        ("", "no output"),
        ("import sys; open(sys.argv[2], 'w')", "no output"),
        ("import sys; open(sys.argv[2], 'w').write('x'); open(sys.argv[1], 'w').write('y')", "input was changed"),
    ],
)
def test_work_that_is_not_done_fails_the_row(code: str, said: str, tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    source.write_bytes(b"picture")
    with pytest.raises(Stop, match=said):
        bench_of(code, tmp_path).upscale(source)


def test_paths_reach_the_command_as_they_are(tmp_path: Path) -> None:
    source = tmp_path / 'it\'s "odd" $HOME\n.png'
    source.write_bytes(b"picture")
    bench = bench_of("import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])", tmp_path)
    assert bench.upscale(source).read_bytes() == b"picture"


@pytest.mark.parametrize(
    ("code", "failed"),
    [
        ("import sys; sys.exit('no picture')", []),
        ("import sys; print('done')", ["exit code"]),
        ("import sys; sys.exit(1)", ["says why"]),
        ("import sys; open(sys.argv[2], 'w'); sys.exit('no picture')", ["output left"]),
        ("import time; time.sleep(9)", ["exit code", "says why"]),
    ],
)
def test_refusing_is_an_exit_code_and_a_message_and_no_output_in_time(
    code: str, failed: list[str], tmp_path: Path
) -> None:
    bench = bench_of(code, tmp_path)
    sleeps = "sleep" in code
    bench.refused(tmp_path / "in.png", within=1.0 if sleeps else 20.0)
    seen = [measure.what for measure in bench.measures if not measure.ok]
    assert [what for what in seen if not (sleeps and what == "seconds")] == failed  # a busy machine ends it later


def check_one(bench: Bench) -> None:
    bench.expect("figure", 1.23456, most=1.0)
    bench.expect("kept", True, True)


def check_nothing(bench: Bench) -> None:
    raise NotRun("no writer")


def test_a_row_passes_only_when_all_bounds_hold() -> None:
    failed = judge(Row("a.b", "Title", "given", "why", check_one), Job("x {input} {output}"))
    assert failed.status == "FAIL"
    assert failed.told() == "figure 1.235 (at most 1)"
    skipped = judge(Row("a.c", "Title", "given", "why", check_nothing), Job("x {input} {output}"))
    assert (skipped.status, skipped.told()) == ("NOT RUN", "no writer")
    assert counts([failed, skipped]) == "0 pass, 1 fail, 1 not run"


def test_relative_programs_are_found_from_other_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_text("")
    monkeypatch.chdir(tmp_path)
    assert rooted("bin/tool {input} {output} --x 4") == f"{tmp_path}/bin/tool '{{input}}' '{{output}}' --x 4"
    assert rooted(None) is None


def test_rows_come_back_in_order_from_other_processes() -> None:
    command = shlex.join([sys.executable, "-c", "import sys; sys.exit('no')", "{input}", "{output}"])
    told: list[Result] = []
    results = run(["hostile.empty", "sizes.1x1", "batch.empty"], Job(command), 2, told.append)
    assert [(one.id, one.status) for one in results] == [
        ("hostile.empty", "PASS"), ("sizes.1x1", "FAIL"), ("batch.empty", "NOT RUN"),
    ]  # fmt: skip
    assert len(told) == 3


def test_the_report_says_who_was_judged_and_how(tmp_path: Path) -> None:
    good = Result("a.one", "It | works", "a <b>", "why", measures=[Measure("size", "4x4", "= 4x4", True)])
    bad = Result("a.two", "It does", "c", "why", "FAIL", "exit code 1")
    head = {"name": "tool", "version": "1.2", "command": "tool {input} {output}", "date": "2025-01-01",
            "machine": "a box", "judged_with": "numpy 2"}  # fmt: skip
    held = json.loads(json.dumps(document(head, [good, bad])))
    assert results_of(held) == [good, bad]
    text = table([held, held | {"name": "peer", "rows": []}])
    assert "``tool {input} {output}``" in text
    assert "| a | 1 of 2 | not run |" in text
    assert "| `one` | It / works. Given: a \\<b\\> | pass: size 4x4 | not run |" in text
    assert "**fail**: exit code 1" in text


def test_the_command_line_writes_both_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = shlex.join([sys.executable, "-m", "conformance.reference", "{input}", "{output}"])
    command = f"env PYTHONPATH={Path(__file__).parents[3]} {command}"
    options = ["--command", command, "--only", "sizes.2x2", "--only", "hostile.te*", "--name", "reference"]
    reports = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md"), "--version-text", "1"]
    assert main([*options, *reports]) == 0
    said = capsys.readouterr().out
    assert "PASS    sizes.2x2" in said
    document = json.loads((tmp_path / "a.json").read_text())
    assert [row["id"] for row in document["rows"]] == ["sizes.2x2", "hostile.text", "hostile.text-bomb"]
    assert document["counts"].get("FAIL") is None
    assert "## Sizes" in (tmp_path / "a.md").read_text()
    assert main(["--merge", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) == 0
    assert "| `2x2` |" in capsys.readouterr().out


def test_the_command_line_fails_with_a_row_and_refuses_what_makes_no_sense() -> None:
    command = shlex.join([sys.executable, "-c", "", "{input}", "{output}"])
    assert main(["--command", command, "--only", "sizes.2x2"]) == 1
    assert main(["--command", "tool {input}"]) == 2
    assert main(["--command", command, "--only", "nothing.*"]) == 2
