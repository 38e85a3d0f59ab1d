"""Random numbers that a window alone decides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(device: torch.device, seed: int, number: int) -> Iterator[None]:
    """Within it, torch's random numbers on the CPU and `device` are those of window `number`; then all is as before.

    Windows of a stochastic model are predicted one by one in it, so that batch, rank and order change nothing.
    """
    own = int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:8]) >> 1
    beside_cpu = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(beside_cpu, device_type="cuda" if device.type == "cpu" else device.type):
        torch.manual_seed(own)
        yield
