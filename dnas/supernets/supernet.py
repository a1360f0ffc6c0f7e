"""The interface of supernets; `dnas.supernets.build` builds either form.

A supernet holds weights for every architecture of a space. It can run one sampled path (weight steps), the relaxed
mixture of all candidates (theta steps), and hand out the weights of one stand-alone network.
Shape suffixes: B batch, C channels, H height, W width, K classes, L layers, O operators.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from search_space.spaces import FBNetSpace


class Supernet(nn.Module, ABC):
    """Weights for every architecture of a space."""

    def __init__(self, space: FBNetSpace) -> None:
        super().__init__()
        self.space = space

    @abstractmethod
    def forward_path(self, x_BCHW: Tensor, indices: tuple[int, ...]) -> Tensor:
        """Logits (B, K) of one architecture, given as an operator index for each layer, at its own cost."""

    @abstractmethod
    def forward_mixture(self, x_BCHW: Tensor, probs_LO: Tensor) -> Tensor:
        """Logits (B, K) of the mixture with these operator weights; differentiable in `probs_LO`."""

    @abstractmethod
    def sub_network_state(self, indices: tuple[int, ...]) -> dict[str, Tensor]:
        """State of the stand-alone `Network` with this supernet's weights, without BatchNorm statistics.

        Views of them, where it can be: what is to be kept when the supernet changes must be copied. Load it with
        `strict=False`, then recalibrate the statistics.
        """
