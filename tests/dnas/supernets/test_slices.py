import torch
from torch import Tensor

from dnas.supernets.slices import WeightPart, views_of


def weights() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((6, 4, 1, 1), (6, 1, 5, 5), (6,), (3, 6, 1, 1), (5,))
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def parts_of(given: list[Tensor]) -> list[WeightPart]:
    """Of all but the last weight; the third is whole."""
    two, side = slice(0, 2), slice(1, 4)
    indices = ((two,), (two, slice(None), side, side), (slice(0, 6),), (slice(None), two))
    return [WeightPart(weight, index) for weight, index in zip(given, indices, strict=False)]


def test_views_and_their_gradients_are_those_of_plain_slices_bit_for_bit() -> None:
    gradients = []
    for take in (views_of, lambda parts: [part.weight[part.index] for part in parts]):
        given = weights()
        views = take(parts_of(given))
        torch.autograd.backward(torch.stack([(view**3).sum() for view in views]).prod())
        gradients.append([view.detach() for view in views] + [weight.grad for weight in given])
    *values, unused = zip(*gradients, strict=True)
    assert all(torch.equal(one, other) for one, other in values if one is not None and other is not None)
    assert unused == (None, None)


def test_views_share_the_memory_of_weights_and_frozen_ones_need_no_gradient() -> None:
    given = weights()
    given[1] = given[1].detach()
    views = views_of(parts_of(given))
    assert [view.requires_grad for view in views] == [True, False, True, True]
    with torch.no_grad():
        for weight in given:
            weight.zero_()
    assert not any(view.any() for view in views)
