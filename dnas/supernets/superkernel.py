"""One masked superkernel a layer: all nine candidates are views of the largest one.

Expansion is a channel mask after the depthwise convolution's ReLU, kernel size a mask on the outer ring of the
depthwise kernel, groups a mask on the two 1x1 weights with the channel shuffle folded in, skip a bypass. Masks of
channels are factors of the scale and shift of the BatchNorm in front, as ReLU(a x) = a ReLU(x) for a >= 0.
BatchNorm always uses the batch's statistics: stand-alone networks recalibrate their own.
Shape suffixes: B batch, C channels, H height, W width, L layers, O operators (N of them not `skip`), E expanded
channels, I input channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dnas.supernets.depthwise import depthwise_conv, ring_scaled_conv
from dnas.supernets.pointwise import joined_conv
from dnas.supernets.slices import WeightPart, views_of
from dnas.supernets.supernet import Supernet
from search_space.networks import every_pixel
from search_space.operators import Operator
from search_space.spaces import FBNetSpace, Layer, layer_prefix


class SuperkernelSupernet(Supernet):
    """Supernet with shared weights.

    Source: superkernels of Stamoulis et al., "Single-Path NAS" (2019), and once-for-all weight sharing; here with
    FBNet's groups and skips, and Gumbel-softmax weights in place of thresholds.
    """

    def __init__(self, space: FBNetSpace) -> None:
        super().__init__(space)
        self.stem = ConvNorm(3, space.stem_channels, kernel=3, stride=space.stem_stride)
        self.blocks = nn.ModuleList(SuperkernelBlock(layer, space.candidates) for layer in space.layers)
        self.last = ConvNorm(space.stages[-1].channels, space.last_channels)
        self.classifier = nn.Linear(space.last_channels, space.classes)

    def forward_path(self, x_BCHW: Tensor, indices: tuple[int, ...]) -> Tensor:
        """See `Supernet.forward_path`."""
        blocks = self.superkernels()
        parts = [block.parts(index) for block, index in zip(blocks, indices, strict=True)]
        views = iter(views_of(list(chain.from_iterable(parts))))
        x_BCHW = self.stem(x_BCHW)
        for block, index, of_block in zip(blocks, indices, parts, strict=True):
            x_BCHW = block.forward_operator(x_BCHW, index, list(islice(views, len(of_block))))
        return self._head(x_BCHW)

    def forward_mixture(self, x_BCHW: Tensor, probs_LO: Tensor) -> Tensor:
        """See `Supernet.forward_mixture`; costs about as much as the largest path."""
        # In all spaces `skip` is the last operator, where it is one.
        has_skip = self.space.candidates[-1].is_skip
        probs_LN = probs_LO[:, :-1] if has_skip else probs_LO
        skips: Sequence[Tensor | None] = probs_LO[:, -1].unbind() if has_skip else [None] * len(probs_LO)
        x_BCHW = self.stem(x_BCHW)
        for block, probs_N, skip in zip(self.superkernels(), probs_LN.unbind(), skips, strict=True):
            x_BCHW = block.forward_mixture(x_BCHW, probs_N, skip)
        return self._head(x_BCHW)

    def sub_network_state(self, indices: tuple[int, ...]) -> dict[str, Tensor]:
        """See `Supernet.sub_network_state`."""
        state = {
            **self.stem.state("stem"),
            **self.last.state("last"),
            "classifier.weight": self.classifier.weight,
            "classifier.bias": self.classifier.bias,
        }
        for number, (block, index) in enumerate(zip(self.superkernels(), indices, strict=True)):
            state |= block.operator_state(index, prefix=layer_prefix(number))
        return {name: value.detach().contiguous() for name, value in state.items()}

    def superkernels(self) -> list[SuperkernelBlock]:
        """Its searchable layers."""
        return [block for block in self.blocks if isinstance(block, SuperkernelBlock)]

    def _head(self, x_BCHW: Tensor) -> Tensor:
        x_BC = self.last(x_BCHW).mean((2, 3))
        return F.linear(x_BC, self.classifier.weight, self.classifier.bias)


def batch_norm(x_BCHW: Tensor, scale_C: Tensor, shift_C: Tensor) -> Tensor:
    """BatchNorm with the batch's own statistics."""
    return F.batch_norm(x_BCHW, None, None, scale_C, shift_C, training=True)


class ConvNorm(nn.Module):
    """Convolution, BatchNorm with batch statistics, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = _conv_weight(out_channels, in_channels, kernel)
        self.scale = nn.Parameter(torch.ones(out_channels))
        self.shift = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x_BCHW: Tensor, factor: Tensor | None = None) -> Tensor:
        """Output, times a factor of at least 0 if one is given."""
        if self.weight.shape[-1] == 1:
            x_BCHW = F.conv2d(every_pixel(x_BCHW, self.stride), self.weight)
        else:
            x_BCHW = F.conv2d(x_BCHW, self.weight, stride=self.stride, padding=self.weight.shape[-1] // 2)
        scale, shift = (self.scale, self.shift) if factor is None else (factor * self.scale, factor * self.shift)
        return torch.relu_(batch_norm(x_BCHW, scale, shift))

    def state(self, name: str) -> dict[str, Tensor]:
        """As the stand-alone network names it."""
        return _conv_state(name, self.weight, self.scale, self.shift)


class SuperkernelBlock(nn.Module):
    """One searchable layer: the largest candidate's weights, of which the others are views."""

    def __init__(self, layer: Layer, candidates: tuple[Operator, ...]) -> None:
        super().__init__()
        self.layer = layer
        self.candidates = candidates
        blocks = [operator for operator in candidates if not operator.is_skip]
        expanded = layer.in_channels * max((operator.expansion for operator in blocks), default=1)
        kernel = max((operator.kernel for operator in blocks), default=1)
        self.expand_weight = _conv_weight(expanded, layer.in_channels, 1)
        self.depthwise_weight = _conv_weight(expanded, 1, kernel)
        self.project_weight = _conv_weight(layer.out_channels, expanded, 1)
        self.expand_scale, self.expand_shift = _affine(expanded)
        self.depthwise_scale, self.depthwise_shift = _affine(expanded)
        self.project_scale, self.project_shift = _affine(layer.out_channels)
        if layer.keeps_shape:
            # Residual branches start at zero (Goyal et al., 2017): early on, all paths are nearly one network.
            nn.init.zeros_(self.project_scale)
        has_skip = any(operator.is_skip for operator in candidates)
        self.skip = (
            ConvNorm(layer.in_channels, layer.out_channels, stride=layer.stride)
            if has_skip and not layer.keeps_shape
            else None
        )
        self._register_masks(blocks, expanded, kernel)

    def _register_masks(self, blocks: list[Operator], expanded: int, kernel: int) -> None:
        """Of each candidate but `skip`: channels (N, E), whether its kernel is the largest (N), whether grouped (N)."""
        layer = self.layer
        channels_NE = torch.stack(
            [torch.arange(expanded) < layer.in_channels * operator.expansion for operator in blocks]
        )
        whole_kernel_N = torch.tensor([operator.kernel == kernel for operator in blocks])
        grouped_N = torch.tensor([operator.groups > 1 for operator in blocks])
        expand_group_EI = torch.ones(expanded, layer.in_channels)
        project_group_CE = torch.ones(layer.out_channels, expanded)
        if grouped_N.any():
            groups = max(operator.groups for operator in blocks)
            inner = layer.in_channels
            source = shuffle_order(inner, groups)
            group_of_input = torch.arange(inner) * groups // inner
            expand_group_EI[:inner] = (group_of_input[source][:, None] == group_of_input[None, :]).float()
            group_of_output = torch.arange(layer.out_channels) * groups // layer.out_channels
            project_group_CE[:, :inner] = (group_of_output[:, None] == group_of_input[None, :]).float()
        for name, mask in (
            ("mask_channels_NE", channels_NE.float()),
            ("whole_kernel_N", whole_kernel_N.float()),
            ("grouped_N", grouped_N.float()),
            ("mask_expand_EI", expand_group_EI),
            ("mask_project_CE", project_group_CE),
            ("outside_groups_II", 1 - expand_group_EI[: layer.in_channels]),
            ("outside_groups_CI", 1 - project_group_CE[:, : layer.in_channels]),
        ):
            self.register_buffer(name, mask, persistent=False)
        for operator in blocks:
            if operator.groups > 1:
                order = unshuffle_order(layer.in_channels * operator.expansion, operator.groups)
                self.register_buffer(f"unshuffle_order_{operator.name}", order, persistent=False)

    def parts(self, index: int) -> list[WeightPart]:
        """What one candidate takes of the weights, in the order of `forward_operator`; nothing for `skip`."""
        operator = self.candidates[index]
        if operator.is_skip:
            return []
        hidden = slice(0, self.layer.in_channels * operator.expansion)
        vectors = (self.expand_scale, self.expand_shift, self.depthwise_scale, self.depthwise_shift)
        return [
            WeightPart(self.expand_weight, (hidden,)),
            self._depthwise_part(operator),
            WeightPart(self.project_weight, (slice(None), hidden)),
            *(WeightPart(vector, (hidden,)) for vector in vectors),
        ]

    def forward_operator(self, x_BCHW: Tensor, index: int, views: Sequence[Tensor]) -> Tensor:
        """One candidate with its `parts`; groups are blocks of zeros, in the order after the shuffle."""
        operator = self.candidates[index]
        if operator.is_skip:
            return x_BCHW if self.skip is None else self.skip(x_BCHW)
        expand, depthwise, project, expand_scale, expand_shift, depthwise_scale, depthwise_shift = views
        if operator.groups > 1:
            hidden = len(expand)
            expand = expand * self.get_buffer("mask_expand_EI")[:hidden, :, None, None]
            project = project * self.get_buffer("mask_project_CE")[:, :hidden, None, None]
        y = F.conv2d(x_BCHW, expand)
        y = torch.relu_(batch_norm(y, expand_scale, expand_shift))
        y = depthwise_conv(y, depthwise, self.layer.stride)
        y = torch.relu_(batch_norm(y, depthwise_scale, depthwise_shift))
        y = batch_norm(F.conv2d(y, project), self.project_scale, self.project_shift)
        return y.add_(x_BCHW) if self.layer.keeps_shape else y

    def forward_mixture(self, x_BCHW: Tensor, probs_N: Tensor, skip: Tensor | None) -> Tensor:
        """All candidates in one pass, weighted by `probs_N` and the probability of `skip`.

        Masks mix the candidates other than `skip` by their share among themselves; `skip` scales the whole block.
        """
        block_share = probs_N.sum()
        y = self._masked_block(x_BCHW, probs_N / block_share.clamp_min(1e-12), block_share)
        if self.layer.keeps_shape:
            return y.add_(x_BCHW)
        if self.skip is not None:
            y = y.add_(self.skip(x_BCHW, skip))
        return y

    def _masked_block(self, x_BCHW: Tensor, share_N: Tensor, block_share: Tensor) -> Tensor:
        """The block, times `block_share`.

        Theta reaches the 1x1 weights only where a grouped candidate has zeros: the first of the expanded channels.
        """
        inner = self.layer.in_channels
        grouped = share_N @ self.get_buffer("grouped_N")
        expand_II = 1 - grouped * self.get_buffer("outside_groups_II")
        project_CI = 1 - grouped * self.get_buffer("outside_groups_CI")
        ring_share = share_N @ self.get_buffer("whole_kernel_N")
        channels_E = share_N @ self.get_buffer("mask_channels_NE")
        first = self.expand_weight[:inner] * expand_II[:, :, None, None]
        y = joined_conv(x_BCHW, first, self.expand_weight[inner:], dim=0)
        y = torch.relu_(batch_norm(y, self.expand_scale, self.expand_shift))
        y = ring_scaled_conv(y, self.depthwise_weight, ring_share, self.layer.stride)
        y = torch.relu_(batch_norm(y, channels_E * self.depthwise_scale, channels_E * self.depthwise_shift))
        first = self.project_weight[:, :inner] * project_CI[:, :, None, None]
        y = joined_conv(y, first, self.project_weight[:, inner:], dim=1)
        return batch_norm(y, block_share * self.project_scale, block_share * self.project_shift)

    def _depthwise_part(self, operator: Operator) -> WeightPart:
        """Depthwise kernels of one candidate, shape (hidden, 1, k, k)."""
        margin = (self.depthwise_weight.shape[-1] - operator.kernel) // 2
        side = slice(margin, self.depthwise_weight.shape[-1] - margin)
        hidden = slice(0, self.layer.in_channels * operator.expansion)
        return WeightPart(self.depthwise_weight, (hidden, slice(None), side, side))

    def _sliced_weights(self, operator: Operator) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of one candidate's three convolutions, the expansion in the order before the shuffle."""
        inner, groups = self.layer.in_channels, operator.groups
        hidden = inner * operator.expansion
        expand = self.expand_weight[:hidden]
        project = self.project_weight[:, :hidden]
        if groups > 1:
            expand = _block_diagonal(expand[self._unshuffle_order(operator)], groups)
            project = _block_diagonal(project, groups)
        depthwise = self._depthwise_part(operator)
        return expand, depthwise.weight[depthwise.index], project

    def _unshuffle_order(self, operator: Operator) -> Tensor:
        return self.get_buffer(f"unshuffle_order_{operator.name}")

    def operator_state(self, index: int, *, prefix: str) -> dict[str, Tensor]:
        """State of one candidate as the stand-alone network names it."""
        operator = self.candidates[index]
        if operator.is_skip:
            return {} if self.skip is None else self.skip.state(f"{prefix}skip")
        hidden = self.layer.in_channels * operator.expansion
        expand, depthwise, project = self._sliced_weights(operator)
        order = slice(0, hidden) if operator.groups == 1 else self._unshuffle_order(operator)
        return {
            **_conv_state(f"{prefix}expand", expand, self.expand_scale[order], self.expand_shift[order]),
            **_conv_state(
                f"{prefix}depthwise", depthwise, self.depthwise_scale[:hidden], self.depthwise_shift[:hidden]
            ),
            **_conv_state(f"{prefix}project", project, self.project_scale, self.project_shift),
        }


def shuffle_order(channels: int, groups: int) -> Tensor:
    """Source channel of each output channel of a channel shuffle, shape (channels,)."""
    return torch.arange(channels).view(groups, channels // groups).t().flatten()


def unshuffle_order(channels: int, groups: int) -> Tensor:
    """The inverse permutation of `shuffle_order`."""
    return torch.argsort(shuffle_order(channels, groups))


def _block_diagonal(weight: Tensor, groups: int) -> Tensor:
    """The diagonal blocks of a 1x1 weight (out, in, 1, 1) as a grouped weight (out, in / groups, 1, 1)."""
    out_channels, in_channels = weight.shape[:2]
    blocks = weight.view(groups, out_channels // groups, groups, in_channels // groups, 1, 1)
    return torch.cat([blocks[group, :, group] for group in range(groups)])


def _conv_weight(out_channels: int, in_channels_per_group: int, kernel: int) -> nn.Parameter:
    weight = torch.empty(out_channels, in_channels_per_group, kernel, kernel)
    nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu")
    return nn.Parameter(weight)


def _affine(channels: int) -> tuple[nn.Parameter, nn.Parameter]:
    return nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))


def _conv_state(name: str, weight: Tensor, scale: Tensor, shift: Tensor) -> dict[str, Tensor]:
    return {f"{name}.conv.weight": weight, f"{name}.norm.weight": scale, f"{name}.norm.bias": shift}
