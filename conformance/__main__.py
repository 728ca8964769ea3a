"""`python -m conformance`: judge an upscaler by its command line."""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from pathlib import Path

from conformance import report
from conformance.bench import Job
from conformance.rows import collected
from conformance.running import rooted, run


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 when no row fails, 1 when one does, 2 when nothing could be run."""
    options = parser().parse_args(arguments)
    if options.merge:
        documents = [json.loads(Path(path).read_text("utf-8")) for path in options.merge]
        if options.markdown:
            Path(options.markdown).write_text(report.page(documents), "utf-8")
        else:
            say(report.table(documents))
        return 0
    rows = [row for row in collected() if any(fnmatch.fnmatch(row.id, glob) for glob in options.only or ["*"])]
    if options.list:
        say("\n".join(f"{row.id:32} {row.title}. Given: {row.given}" for row in rows))
        return 0
    if not options.command or not rows or "{input}" not in options.command or "{output}" not in options.command:
        sys.stderr.write("a --command with {input} and {output} in it, and rows that --only leaves, are needed\n")
        return 2
    job = Job(options.command, options.tiled_command, options.batch_command, options.scale, options.timeout)
    version = options.version_text or report.version_of(options.command)
    head = report.heading(job, options.name or options.command.split()[0].rpartition("/")[2], version)
    called = Job(str(rooted(job.command)), rooted(job.tiled), rooted(job.batch), job.scale, job.timeout)
    results = run([row.id for row in rows], called, options.jobs, lambda result: say(report.line(result)))
    document = report.document(head, results)
    if options.json:
        Path(options.json).write_text(json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
    if options.markdown:
        Path(options.markdown).write_text(report.page([document]), "utf-8")
    say(f"\n{report.counts(results)}")
    return int(any(result.status == "FAIL" for result in results))


def say(text: str) -> None:
    sys.stdout.write(text.encode("utf-8", "replace").decode("utf-8") + "\n")
    sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("python -m conformance", description="Judge an upscaler by its command line.")
    made.add_argument("--command", help="such as 'srgan upscale {input} {output} --scale 4'")
    made.add_argument("--tiled-command", help="the same with small tiles, for the rows about seams")
    made.add_argument(
        "--batch-command", help="such as 'srgan batch-process {input} {output}', for the rows about folders"
    )
    made.add_argument("--scale", type=int, default=4, help="how many times larger the command makes pictures (4)")
    made.add_argument("--only", action="append", metavar="GLOB", help="rows to run, such as 'alpha.*'; can be repeated")
    made.add_argument("--jobs", type=int, default=2, help="rows at the same time (2)")
    made.add_argument("--timeout", type=float, default=60, help="seconds that one call may take (60)")
    made.add_argument("--name", help="what the upscaler is called in the table")
    made.add_argument("--version-text", help="its version; without it, what --version says")
    made.add_argument("--json", metavar="FILE", help="write everything measured")
    made.add_argument("--markdown", metavar="FILE", help="write the table for documentation")
    made.add_argument("--merge", nargs="+", metavar="JSON", help="run nothing; put such files side by side")
    made.add_argument("--list", action="store_true", help="list the rows")
    return made


if __name__ == "__main__":
    sys.exit(main())
