"""Videos of a data set -> face crops and a manifest for training (thesis section 3.1), without torch.

tree      the files under SOURCE           layouts, names, listings   what they are
split     no identity in two splits        balance                    as many reals as fakes
plan      the three together               extract, workers           crops, many videos at once
progress  going on after an interruption   run, report                the whole way and its numbers
"""

from .layouts import LAYOUTS
from .report import Dropped, Report, SplitCounts
from .run import prepare
from .settings import CropSettings, PrepareSettings, Shares

__all__ = [
    "LAYOUTS",
    "CropSettings",
    "Dropped",
    "PrepareSettings",
    "Report",
    "Shares",
    "SplitCounts",
    "prepare",
]
