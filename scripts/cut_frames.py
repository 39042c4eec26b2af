"""Every 30th frame of videos as PNG pictures: what `edgefake detect` judges of them, as this machine decoded it.

python scripts/cut_frames.py VIDEO... FOLDER
"""

import sys
from pathlib import Path

import cv2

from edgefake_runtime.media import Video, open_media


def main() -> None:
    """Write VIDEO-INDEX.png for each scored frame."""
    *videos, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    for path in videos:
        with open_media(path) as media:
            assert isinstance(media, Video)
            for frame in media.frames():
                target = folder / f"{path.stem}-{frame.index:04}.png"
                cv2.imwrite(str(target), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
