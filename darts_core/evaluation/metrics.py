"""How masks and probabilities agree: by pixel, by object, and as frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import ndimage


class Scores(BaseModel):
    """Agreement of pixels, each 0..1; 0 where there is nothing to divide by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: float
    recall: float
    f1: float
    iou: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """Pixels by what was predicted and what is true."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @classmethod
    def of(cls, predicted: np.ndarray, truth: np.ndarray, counted: np.ndarray | None = None) -> Confusion:
        """Count bool arrays of one shape; `counted` is True where a pixel counts."""
        codes = 2 * predicted.astype(np.uint8) + truth.astype(np.uint8)
        counts = np.bincount(codes.ravel() if counted is None else codes[counted], minlength=4)
        return cls(int(counts[3]), int(counts[2]), int(counts[1]), int(counts[0]))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    def scores(self) -> Scores:
        """Precision, recall, F1 and intersection over union."""
        hits, excess, lost = self.true_positive, self.false_positive, self.false_negative
        return Scores(
            precision=_share(hits, hits + excess),
            recall=_share(hits, hits + lost),
            f1=_share(2 * hits, 2 * hits + excess + lost),
            iou=_share(hits, hits + excess + lost),
        )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class ObjectMatches:
    """Objects found, invented and lost."""

    true_positive: int
    false_positive: int
    false_negative: int

    @property
    def f1(self) -> float:
        whole = 2 * self.true_positive + self.false_positive + self.false_negative
        return _share(2 * self.true_positive, whole)


def match_objects(
    predicted: np.ndarray, truth: np.ndarray, thresholds: list[float], min_pixels: int = 1
) -> list[ObjectMatches]:
    """Match 8-connected objects of two masks one to one, the best overlap first.

    Args:
        predicted: bool (y, x).
        truth: bool (y, x).
        thresholds: intersection over union from which two objects match.
        min_pixels: smaller objects are left out.

    Returns:
        One count for each threshold.
    """
    found, found_sizes = _labelled(predicted, min_pixels)
    known, known_sizes = _labelled(truth, min_pixels)
    both = (found > 0) & (known > 0)
    pairs, shared = np.unique(np.stack([found[both], known[both]]), axis=1, return_counts=True)
    union = found_sizes[pairs[0]] + known_sizes[pairs[1]] - shared
    iou = shared / union
    order = np.argsort(-iou, kind="stable")
    counts = []
    for threshold in thresholds:
        taken: tuple[set[int], set[int]] = (set(), set())
        for index in order[iou[order] >= threshold]:
            one, other = int(pairs[0, index]), int(pairs[1, index])
            if one not in taken[0] and other not in taken[1]:
                taken[0].add(one)
                taken[1].add(other)
        hits = len(taken[0])
        counts.append(ObjectMatches(hits, len(found_sizes) - 1 - hits, len(known_sizes) - 1 - hits))
    return counts


def _labelled(mask: np.ndarray, min_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Object numbers (0 = none) and the size of each number, without the small objects."""
    labels, _ = ndimage.label(mask, np.ones((3, 3), bool))
    sizes = np.bincount(labels.ravel())
    kept = sizes >= min_pixels
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0)
    return numbers[labels], np.concatenate([[0], sizes[kept]])


class ReliabilityBin(BaseModel):
    """Pixels whose probability lies in one interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    pixels: int
    mean_probability: float
    observed: float
    """Share of them that are slumps."""


def reliability(probabilities: np.ndarray, truth: np.ndarray, bins: int) -> list[ReliabilityBin]:
    """How often what was given a probability is so.

    Args:
        probabilities: float (pixels,), 0..1, without NaN.
        truth: bool (pixels,).
    """
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    pixels = np.bincount(place, minlength=bins)
    means = np.bincount(place, probabilities, bins)
    observed = np.bincount(place, truth, bins)
    return [
        ReliabilityBin(
            low=index / bins,
            high=(index + 1) / bins,
            pixels=int(pixels[index]),
            mean_probability=_share(float(means[index]), int(pixels[index])),
            observed=_share(float(observed[index]), int(pixels[index])),
        )
        for index in range(bins)
    ]


def calibration_error(bins: list[ReliabilityBin]) -> float:
    """Expected calibration error: mean gap between probability and frequency, weighted by pixels."""
    total = sum(one.pixels for one in bins)
    return _share(sum(one.pixels * abs(one.mean_probability - one.observed) for one in bins), total)
