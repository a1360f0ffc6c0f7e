import torch

from dnas.supernets.build import build_supernet
from search_space.spaces import FBNetSpace
from tests.dnas.conftest import Randomise


def test_a_layers_output_is_the_weighted_sum_of_its_candidates(space: FBNetSpace, randomised: Randomise) -> None:
    """FBNet, Eq. 3, in the first layer; the others are certain."""
    supernet = randomised(build_supernet(space, "separate")).double()
    x_BCHW = torch.randn(4, *space.input_shape).double()
    outputs = []
    probe = supernet.get_submodule("choices.1.8")
    probe.register_forward_pre_hook(lambda _module, inputs: outputs.append(inputs[0]))
    for index in range(9):
        supernet.forward_path(x_BCHW, (index, 8, 8))
    probs_LO = torch.zeros(3, 9).double()
    probs_LO[0] = torch.softmax(torch.randn(9).double(), -1)
    probs_LO[1:, 8] = 1.0
    supernet.forward_mixture(x_BCHW, probs_LO)
    *single, mixed = outputs
    torch.testing.assert_close(mixed, sum(prob * output for prob, output in zip(probs_LO[0], single, strict=True)))


def test_candidates_have_weights_of_their_own(space: FBNetSpace) -> None:
    supernet = build_supernet(space, "separate")
    names = [name for name, _ in supernet.named_parameters()]
    for index in range(8):
        assert any(name.startswith(f"choices.0.{index}.") for name in names)
    assert len({parameter.data_ptr() for parameter in supernet.parameters()}) == len(names)
