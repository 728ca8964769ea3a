"""The `srgan` command, and `python -m srgan`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line. Ctrl-C while it is still loading ends it as later on: in one line, with exit code 130."""
    try:
        from srgan.cli import main as command
    except KeyboardInterrupt:
        sys.stderr.write("srgan: stopped\n")
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
