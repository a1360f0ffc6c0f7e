import pytest
import torch
import torch.nn.functional as F

from dnas.supernets.build import build_supernet
from dnas.supernets.superkernel import shuffle_order, unshuffle_order
from search_space.spaces import FBNetSpace


@pytest.mark.parametrize(("channels", "groups"), [(6, 2), (8, 2), (12, 3), (4, 1)])
def test_shuffle_is_torchs_and_unshuffle_its_inverse(channels: int, groups: int) -> None:
    x_BCHW = torch.randn(2, channels, 3, 3)
    shuffled = x_BCHW[:, shuffle_order(channels, groups)]
    assert torch.equal(shuffled, F.channel_shuffle(x_BCHW, groups))
    assert torch.equal(shuffled[:, unshuffle_order(channels, groups)], x_BCHW)


def test_candidates_share_their_weights(space: FBNetSpace) -> None:
    supernet = build_supernet(space, "shared")
    small, large = (supernet.sub_network_state((index,) * 3) for index in (0, 7))
    for layer, channels in enumerate((4, 4, 6)):
        name = f"layer{layer:02d}"
        assert torch.equal(small[f"{name}_expand.conv.weight"], large[f"{name}_expand.conv.weight"][:channels])
        assert torch.equal(
            small[f"{name}_depthwise.conv.weight"], large[f"{name}_depthwise.conv.weight"][:channels, :, 1:4, 1:4]
        )
        assert torch.equal(small[f"{name}_project.conv.weight"], large[f"{name}_project.conv.weight"][:, :channels])


def test_a_mixture_of_kernel_sizes_scales_the_outer_ring(space: FBNetSpace) -> None:
    """Half `k3_e6`, half `k5_e6` is the block of `k5_e6` with half the weights in its outer ring."""
    supernet = build_supernet(space, "shared").double()
    x_BCHW = torch.randn(4, *space.input_shape).double()
    probs_LO = torch.zeros(3, 9).double()
    probs_LO[:, 3] = probs_LO[:, 7] = 0.5
    mixture = supernet.forward_mixture(x_BCHW, probs_LO)
    with torch.no_grad():
        for name, weight in supernet.named_parameters():
            if name.endswith("depthwise_weight"):
                inner = weight[:, :, 1:4, 1:4].clone()
                weight.mul_(0.5)[:, :, 1:4, 1:4] = inner
    torch.testing.assert_close(mixture, supernet.forward_path(x_BCHW, (7, 7, 7)))
