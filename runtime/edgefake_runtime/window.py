"""A window that shows frames, where OpenCV can open one."""

import os
import re
import sys
from contextlib import suppress
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Window", "why_no_window"]

CLOSING_KEYS = {ord("q"), ord("Q"), 27}
"""q and Esc."""

WORK_MS = 10
"""What a window gets to paint itself and to look after its keys; with 1, Qt may never come to paint."""


def why_no_window() -> str | None:
    """Why no window can be opened here, and what helps; None where one can."""
    built_with = re.search(r"^ *GUI: +(\S+)", cv2.getBuildInformation(), flags=re.MULTILINE)
    if built_with is None or built_with[1] == "NONE":
        return (
            "this OpenCV has none (pip uninstall opencv-python-headless, then pip install opencv-python, brings one "
            "that has)"
        )
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display (DISPLAY is not set)"
    return None


class Window:
    """An open window; a context manager, for the main thread alone.

    Args:
        title: also the name by which OpenCV knows it.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown = False
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)

    def show(self, image: NDArray[np.uint8]) -> None:
        """Show a frame, (H, W, 3) RGB; the first one gives the window its size."""
        if not self._shown:
            cv2.resizeWindow(self._title, image.shape[1], image.shape[0])
        self._shown = True
        cv2.imshow(self._title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def is_closed(self) -> bool:
        """Let the window work, and tell whether it was closed, or q or Esc pressed in it."""
        if cv2.waitKey(WORK_MS) & 0xFF in CLOSING_KEYS:
            return True
        try:
            return self._shown and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:  # Qt knows nothing any more once its last window is closed
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(cv2.error):
            cv2.destroyAllWindows()
