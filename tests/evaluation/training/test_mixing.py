from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.training.config import TrainSettings
from evaluation.training.mixing import Mix, drawn_mix, mixed, mixes


def drawn(x_BCHW: Tensor, **settings: Any) -> Mix:
    """For the second of two batches."""
    batch, _, height, width = x_BCHW.shape
    rng = np.random.default_rng(1)
    both = [drawn_mix(TrainSettings(**settings), (batch, height, width), rng) for _ in range(2)]
    return list(mixes(both, torch.device("cpu")))[1]


@pytest.mark.parametrize("side", [1, 3, 8])
def test_cutout_zeroes_exactly_one_square(side: int) -> None:
    x_BCHW = torch.rand(200, 3, 8, 10) + 1
    result = mixed(x_BCHW, drawn(x_BCHW, cutout=side), side=side)
    places = set()
    for image, cut in zip(x_BCHW, result, strict=True):
        zero_HW = (cut == 0).all(0)
        assert torch.equal(zero_HW, (cut == 0).any(0))
        rows, columns = zero_HW.any(1).nonzero().flatten(), zero_HW.any(0).nonzero().flatten()
        assert len(rows) == len(columns) == side
        assert int(zero_HW.sum()) == side**2
        assert int(rows[-1] - rows[0]) == int(columns[-1] - columns[0]) == side - 1
        assert torch.equal(cut[:, ~zero_HW], image[:, ~zero_HW])
        places.add((int(rows[0]), int(columns[0])))
    most = (8 - side + 1) * (10 - side + 1)
    assert len(places) == most if most < 40 else len(places) > 0.8 * most


def test_mixup_mixes_each_image_with_its_partner() -> None:
    x_BCHW = torch.rand(50, 3, 2, 2)
    mix = drawn(x_BCHW, mixup=0.4)
    assert mix.partner_B is not None
    assert sorted(mix.partner_B.tolist()) == list(range(50))
    share = mix.share
    assert 0 < share < 1
    result = mixed(x_BCHW, mix, side=0)
    for number, partner in enumerate(mix.partner_B):
        torch.testing.assert_close(result[number], share * x_BCHW[number] + (1 - share) * x_BCHW[partner])
