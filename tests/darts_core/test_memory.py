"""What is freed is kept where that is asked for, and given back at the end."""

import resource
import sys

import psutil
import pytest
import torch

from darts_core.memory import freed_is_kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs glibc, of Linux")
BYTES = 2**27


def laid_and_freed() -> int:
    """Page faults of laying a large array again and again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(BYTES, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_an_array_takes_the_place_of_the_one_before_and_the_end_gives_all_back() -> None:
    outside = laid_and_freed()
    before = psutil.Process().memory_info().rss
    with freed_is_kept():
        laid_and_freed()
        inside = laid_and_freed()
    assert inside < outside / 4
    assert psutil.Process().memory_info().rss < before + BYTES / 2
