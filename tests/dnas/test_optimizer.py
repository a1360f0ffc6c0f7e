from dnas.optimizer import parameter_groups
from search_space.networks import Network
from search_space.spaces import FBNetSpace


def test_only_weights_of_convolutions_and_the_classifier_decay(space: FBNetSpace) -> None:
    network = Network(space.graph(("k3_e3",) * space.num_layers))
    decayed, others = parameter_groups(network, 0.01)
    names = {parameter: name for name, parameter in network.named_parameters()}
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    assert all(names[p].endswith(".conv.weight") or names[p] == "classifier.weight" for p in decayed["params"])
    assert all(".norm." in names[p] or names[p] == "classifier.bias" for p in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(names)
