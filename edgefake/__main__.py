"""Entry point of the command `edgefake` and of `python -m edgefake`."""

from .cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
