import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from darts_core.superresolution.interpolation import Interpolate, Interpolation


def by_torch(kind: Interpolation, factor: int, x: torch.Tensor) -> torch.Tensor:
    """In float64: in float32, torch itself is off by more than 1e-6 where the factor is no power of two."""
    corners = None if kind is Interpolation.NEAREST else False
    return functional.interpolate(x.double(), scale_factor=factor, mode=kind.value, align_corners=corners).float()


@settings(max_examples=60)
@given(
    kind=st.sampled_from(Interpolation),
    factor=st.integers(1, 5),
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    seed=st.integers(0, 9),
)
def test_it_equals_that_of_torch(kind, factor, height, width, seed):
    x = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(Interpolate(kind, factor)(x), by_torch(kind, factor, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", range(1, 6))
@pytest.mark.parametrize("kind", Interpolation)
def test_it_equals_that_of_torch_at_every_length(kind, factor):
    x = torch.rand(1, 1, 200, 3)
    for length in range(1, 201, 2 if factor > 3 else 1):
        part = x[:, :, :length]
        torch.testing.assert_close(Interpolate(kind, factor)(part), by_torch(kind, factor, part), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", Interpolation)
def test_batches_memory_formats_and_half_precision_change_nothing(kind):
    x = torch.rand(3, 4, 20, 27)
    module, expected = Interpolate(kind, 4), by_torch(kind, 4, x)
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last)), expected, rtol=0, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-6)


def test_gradients_pass_and_a_trace_fits_other_sizes():
    x = torch.rand(1, 1, 9, 11, requires_grad=True)
    module = Interpolate(Interpolation.BICUBIC, 3)
    module(x).sum().backward()
    # whatever the weights, those of one result sum to 1
    torch.testing.assert_close(x.grad.sum(), torch.tensor(9.0 * 11 * 9), rtol=1e-5, atol=0)
    traced, other = torch.jit.trace(module, torch.rand(1, 1, 8, 8)), torch.rand(1, 1, 13, 21)
    assert torch.equal(traced(other), module(other))
