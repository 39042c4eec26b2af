"""Entry point of the command `edgefake` and of `python -m edgefake`."""

import os
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit (see `edgefake.cli.main`), as after Ctrl-C where that comes while it is read."""
    try:
        from .cli import main as run
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGINT)
    run()


if __name__ == "__main__":
    main()
