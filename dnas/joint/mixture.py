"""The relaxed mixtures of several inner searches in one forward, each of its own images.

It is what `SuperkernelSupernet.forward_mixture` computes for one search after the other, with a fraction of the
operations, as the weights are frozen and the searches share them. Layout and convolutions: `dnas.joint.convolutions`.
Shape suffixes: B batch, C channels, H height, W width, K classes, L layers, O operators (N of them not `skip`),
T inner searches, I input channels of a layer, M the factors up to its largest expansion, F what a layer mixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.joint.convolutions import first_inputs_mixed, first_outputs_mixed, rings_scaled_conv, shared_conv
from dnas.mixed_precision import in_step_type
from dnas.supernets.superkernel import ConvNorm, SuperkernelBlock, SuperkernelSupernet, batch_norm
from search_space.networks import every_pixel


class JointMixture:
    """The frozen weights of a supernet, made ready for T inner searches; it does not follow when they change."""

    def __init__(self, supernet: SuperkernelSupernet, searches: int) -> None:
        """Take the weights as they are now, those of products in the type that steps compute in.

        Args:
            supernet: pre-trained weights.
            searches: T, how many run together.
        """
        blocks = supernet.superkernels()
        self._searches = searches
        # In all spaces `skip` is the last operator, where it is one.
        self._has_skip = supernet.space.candidates[-1].is_skip
        self._mixed_NF = _mixed_by_candidates(blocks[0])
        self._stem, self._stem_affine = supernet.stem, _affine_of(supernet.stem, searches)
        self._blocks = [_JointBlock(block, searches) for block in blocks]
        self._last_weight, self._last_affine = _weight(supernet.last.weight), _affine_of(supernet.last, searches)
        self._classifier = in_step_type(supernet.classifier.weight.detach(), supernet.classifier.bias.detach())

    def __call__(self, x_NCHW: Tensor, probs_TLO: Tensor) -> Tensor:
        """Logits of the mixtures with these operator weights, differentiable in them.

        Args:
            x_NCHW: images, those of the first search before those of the next, shape (T * B, C, H, W).
            probs_TLO: operator weights of each search.

        Returns:
            Logits of shape (T, B, K).
        """
        x_BCHW = self._stem_of(x_NCHW)
        for block, mixed in zip(self._blocks, self._mixed(probs_TLO), strict=True):
            x_BCHW = block(x_BCHW, mixed)
        x_BCHW = torch.relu_(batch_norm(shared_conv(x_BCHW, self._last_weight), *self._last_affine))
        x_BTC = x_BCHW.mean((2, 3)).view(-1, self._searches, len(self._last_weight))
        return F.linear(x_BTC, *self._classifier).transpose(0, 1)

    @torch.no_grad()
    def _stem_of(self, x_NCHW: Tensor) -> Tensor:
        """Output of the stem, of which theta knows nothing, in the layout of the layers."""
        stem = self._stem
        y_NCHW = F.conv2d(x_NCHW, stem.weight, stride=stem.stride, padding=stem.weight.shape[-1] // 2)
        y_TBCHW = y_NCHW.view(self._searches, -1, *y_NCHW.shape[1:])
        y_BCHW = y_TBCHW.permute(1, 3, 4, 0, 2).flatten(3).permute(0, 3, 1, 2)
        return torch.relu_(batch_norm(y_BCHW, *self._stem_affine))

    def _mixed(self, probs_TLO: Tensor) -> list[_Mixed]:
        """What theta decides of each layer, for all of them at once."""
        probs_TLN = probs_TLO[..., :-1] if self._has_skip else probs_TLO
        block_TL1 = probs_TLN.sum(-1, keepdim=True)
        share_TLN = probs_TLN / block_TL1.clamp_min(1e-12)
        # No matrix product, which lower precision would touch.
        mixed_TLF = (share_TLN[..., None] * self._mixed_NF).sum(-2)
        grouped_TL1, whole_TL1, expanded_TLM = mixed_TLF.tensor_split([1, 2], -1)
        grouped_TL1, whole_TL1 = in_step_type(grouped_TL1, whole_TL1)
        layers = block_TL1.shape[1]
        skips: Sequence[Tensor | None] = probs_TLO[..., -1:].unbind(1) if self._has_skip else [None] * layers
        by_layer = zip(
            grouped_TL1.squeeze(-1).unbind(1),
            whole_TL1.squeeze(-1).unbind(1),
            expanded_TLM.unbind(1),
            block_TL1.unbind(1),
            skips,
            strict=True,
        )
        return [
            _Mixed(grouped_T=grouped_T, whole_T=whole_T, expanded_TM=expanded_TM, block_T1=block_T1, skip_T1=skip_T1)
            for grouped_T, whole_T, expanded_TM, block_T1, skip_T1 in by_layer
        ]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Mixed:
    """What theta decides of a layer, of each search."""

    grouped_T: Tensor
    """Share of the grouped candidates among those other than `skip`; so are the next two."""
    whole_T: Tensor
    """Share of those with the largest kernel."""
    expanded_TM: Tensor
    """Share of those with at least such an expansion."""
    block_T1: Tensor
    """Probability of all candidates other than `skip`."""
    skip_T1: Tensor | None
    """That of `skip`, where it is a candidate."""


class _JointBlock:
    """One searchable layer."""

    def __init__(self, block: SuperkernelBlock, searches: int) -> None:
        inner, self._keeps_shape = block.layer.in_channels, block.layer.keeps_shape
        self._stride, self._has_groups = block.layer.stride, any(one.groups > 1 for one in block.candidates)
        self._expand_OI, self._project_OI = _weight(block.expand_weight), _weight(block.project_weight)
        self._expand_minus_DI = in_step_type(-self._expand_OI[:inner] * block.get_buffer("outside_groups_II"))[0]
        self._project_minus_OD = in_step_type(-self._project_OI[:, :inner] * block.get_buffer("outside_groups_CI"))[0]
        (kernels,) = in_step_type(block.depthwise_weight.detach())
        self._inside = F.pad(kernels[:, :, 1:-1, 1:-1], (1, 1, 1, 1))
        self._rings = (kernels - self._inside).repeat(searches, 1, 1, 1, 1)
        self._expand_affine = _repeated(block.expand_scale, searches), _repeated(block.expand_shift, searches)
        depthwise_affine = torch.stack((block.depthwise_scale, block.depthwise_shift)).detach()
        self._depthwise_affine_21MI = depthwise_affine.view(2, 1, -1, inner)
        self._project_affine_21C = torch.stack((block.project_scale, block.project_shift)).detach()[:, None]
        self._skip = None if block.skip is None else _JointSkip(block.skip)

    def __call__(self, x_BCHW: Tensor, mixed: _Mixed) -> Tensor:
        """The layer's output, from (B, T * I, H, W) to (B, T * C, H / stride, W / stride)."""
        y = self._expanded(x_BCHW, mixed.grouped_T)
        y = torch.relu_(batch_norm(y, *self._expand_affine))
        y = rings_scaled_conv(y, self._inside, self._rings, mixed.whole_T, self._stride)
        scale, shift = (self._depthwise_affine_21MI * mixed.expanded_TM[:, :, None]).flatten(1).unbind()
        y = torch.relu_(batch_norm(y, scale, shift))
        y = self._projected(y, mixed.grouped_T)
        scale, shift = (self._project_affine_21C * mixed.block_T1).flatten(1).unbind()
        y = batch_norm(y, scale, shift)
        if self._keeps_shape:
            return y.add_(x_BCHW)
        if self._skip is not None:
            assert mixed.skip_T1 is not None
            y = y.add_(self._skip(x_BCHW, mixed.skip_T1))
        return y

    def _expanded(self, x_BCHW: Tensor, grouped_T: Tensor) -> Tensor:
        if not self._has_groups:
            return shared_conv(x_BCHW, self._expand_OI)
        return first_outputs_mixed(x_BCHW, self._expand_OI, self._expand_minus_DI, grouped_T)

    def _projected(self, x_BCHW: Tensor, grouped_T: Tensor) -> Tensor:
        if not self._has_groups:
            return shared_conv(x_BCHW, self._project_OI)
        return first_inputs_mixed(x_BCHW, self._project_OI, self._project_minus_OD, grouped_T)


class _JointSkip:
    """The `skip` of a layer that changes the shape."""

    def __init__(self, skip: ConvNorm) -> None:
        self._stride = skip.stride
        self._weight_OI = _weight(skip.weight)
        self._affine_21C = torch.stack((skip.scale, skip.shift)).detach()[:, None]

    def __call__(self, x_BCHW: Tensor, skip_T1: Tensor) -> Tensor:
        y = shared_conv(every_pixel(x_BCHW, self._stride), self._weight_OI)
        scale, shift = (self._affine_21C * skip_T1).flatten(1).unbind()
        return torch.relu_(batch_norm(y, scale, shift))


def _mixed_by_candidates(block: SuperkernelBlock) -> Tensor:
    """What each candidate adds to what a layer mixes, the same for all layers."""
    channels_NE = block.get_buffer("mask_channels_NE")
    expanded_NM = channels_NE[:, :: block.layer.in_channels]
    return torch.cat(
        (block.get_buffer("grouped_N")[:, None], block.get_buffer("whole_kernel_N")[:, None], expanded_NM), 1
    )


def _weight(weight: Tensor) -> Tensor:
    """A 1x1 weight (O, I, 1, 1) as a matrix."""
    (weight,) = in_step_type(weight.detach())
    return weight[:, :, 0, 0]


def _affine_of(layer: ConvNorm, searches: int) -> tuple[Tensor, Tensor]:
    return _repeated(layer.scale, searches), _repeated(layer.shift, searches)


def _repeated(vector_C: Tensor, searches: int) -> Tensor:
    """The same vector for each search, shape (T * C,)."""
    return vector_C.detach().repeat(searches)
