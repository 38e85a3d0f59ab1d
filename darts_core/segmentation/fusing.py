"""The same network with less to do: batch norm folded into convolutions, and no pixel convolved that was repeated.

Both are identities but for rounding. A network that cannot be traced, or one that does not come out the same, stays
as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

TOLERANCE = 1e-4
"""How far logits may move, relative to the largest one or to 1, before the network is left as it is."""


def fused(network: nn.Module, bands: int) -> nn.Module:
    """A faster equal of a network in evaluation mode, or the network itself.

    Args:
        network: from (batch, bands, y, x) to logits; unchanged, but its weights are shared.
        bands: channels of its input.
    """
    probe = torch.rand(1, bands, 64, 96, generator=torch.Generator().manual_seed(0))
    try:
        traced = fx.symbolic_trace(network)
        fold_batch_norm(traced)
        with torch.inference_mode():
            ShapeProp(traced).propagate(probe)
        merge_upsampling(traced)
        # a size that differs from the probe's shows what tracing took for a constant
        checks = probe, torch.rand(2, bands, 128, 64, generator=torch.Generator().manual_seed(1))
        return traced if all(_same(network, traced, check) for check in checks) else network
    except Exception:  # the tracer raises whatever the network's own control flow makes of a symbol
        return network


def _same(network: nn.Module, other: nn.Module, inputs: torch.Tensor) -> bool:
    with torch.inference_mode():
        expected, received = network(inputs), other(inputs)
    return bool((received - expected).abs().max() <= TOLERANCE * max(1.0, float(expected.abs().max())))


def fold_batch_norm(traced: fx.GraphModule) -> None:
    """Make one convolution of each convolution that only a batch norm follows, in place."""
    modules = dict(traced.named_modules())
    node: Any
    for node in list(traced.graph.nodes):
        norm = _module(modules, node)
        before: Any = node.args[0] if node.args else None
        convolution = _module(modules, before)
        if isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d) and len(before.users) == 1:
            modules[before.target] = fuse_conv_bn_eval(convolution, norm)
            traced.set_submodule(before.target, modules[before.target])
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    _finish(traced)


class UpsampledConvolution(nn.Module):
    """3 x 3 convolution of an image enlarged twofold by repetition, beside another one that has that size already.

    Each of the four pixels made of one sees 2 x 2 of the original ones, not 3 x 3: a transposed convolution with 16
    taps does what the convolution does with 36.
    """

    def __init__(self, convolution: nn.Conv2d, channels: int) -> None:
        """`channels` of the convolution's input, the first ones, are enlarged."""
        super().__init__()
        weight = convolution.weight.detach()
        taps = weight[:, :channels].flip(2, 3).transpose(0, 1)
        small = torch.zeros(*taps.shape[:2], 4, 4, dtype=weight.dtype)
        for row in range(2):
            for col in range(2):
                small[..., row : row + 3, col : col + 3] += taps
        self.small, self.bias = nn.Parameter(small, requires_grad=False), convolution.bias
        self.beside = nn.Parameter(weight[:, channels:].clone(), requires_grad=False)

    def forward(self, small: torch.Tensor, beside: torch.Tensor | None = None) -> torch.Tensor:
        made = functional.conv_transpose2d(small, self.small, self.bias, stride=2, padding=1)
        return made if beside is None else made.add_(functional.conv2d(beside, self.beside, padding=1))


def merge_upsampling(traced: fx.GraphModule) -> None:
    """Replace repetition, concatenation and convolution by `UpsampledConvolution`, in place.

    Nodes have the shapes that `ShapeProp` leaves.
    """
    modules = dict(traced.named_modules())
    node: Any
    for node in list(traced.graph.nodes):
        convolution = _module(modules, node)
        if not (isinstance(convolution, nn.Conv2d) and _is_plain(convolution)):
            continue
        source = _through_identities(modules, node.args[0])
        parts = source.args[0] if source.target is torch.cat and _along_channels(source) else [source]
        enlarged, *beside = parts
        if len(beside) > 1 or not _is_doubling(enlarged):
            continue
        small = enlarged.args[0]
        modules[node.target] = UpsampledConvolution(convolution, _shape(small)[1])
        traced.set_submodule(node.target, modules[node.target])
        node.args = (small, *beside)
    _finish(traced)


def _module(modules: dict[str, nn.Module], node: Any) -> nn.Module | None:
    return modules[str(node.target)] if isinstance(node, fx.Node) and node.op == "call_module" else None


def _is_plain(convolution: nn.Conv2d) -> bool:
    shape = convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1)) and convolution.groups == 1 and convolution.padding_mode == "zeros"


def _through_identities(modules: dict[str, nn.Module], node: Any) -> Any:
    while isinstance(_module(modules, node), nn.Identity):
        node = node.args[0]
    return node


def _along_channels(cat: Any) -> bool:
    return bool((cat.kwargs.get("dim") or (cat.args[1] if len(cat.args) > 1 else 0)) == 1)


def _is_doubling(node: Any) -> bool:
    if node.target is not functional.interpolate or node.kwargs.get("mode") != "nearest":
        return False
    return _shape(node)[2:] == tuple(2 * size for size in _shape(node.args[0])[2:])


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)


def _finish(traced: fx.GraphModule) -> None:
    # `getattr` of shapes and the like have no use any more
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
