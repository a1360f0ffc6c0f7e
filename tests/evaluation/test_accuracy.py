import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dnas.supernets.build import WeightSharing, build_supernet
from evaluation.accuracy import (
    EVALUATION_BATCH,
    RECALIBRATION_IMAGES,
    batch_size_for,
    classification,
    classified,
    folded,
    inherited_network,
    recalibrate,
)
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.splits import split_data
from search_space.networks import ConvBlock, Network
from search_space.spaces import FBNetSpace, Stage
from tests.evaluation.conftest import ImageDataOf, ImagesOf

INDICES = (3, 1, 8)
BatchesOf = Callable[[int], ImageBatches]


@pytest.fixture
def batches(numbered: ImagesOf, image_data: ImageDataOf) -> BatchesOf:
    """Makes batches of so many images of 8 x 8 pixels."""
    splits = split_data(image_data(size=8), 0)

    def make(count: int) -> ImageBatches:
        return ImageBatches(numbered(count, size=8, seed=count), splits)

    return make


def network_of(space: FBNetSpace) -> Network:
    torch.manual_seed(0)
    return Network(space.graph(tuple(space.operators[index] for index in INDICES)))


def norms_of(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}


def statistics_of(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Running mean and variance of a BatchNorm, in double precision."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean.double(), norm.running_var.double()


def inputs_of_norms(network: nn.Module, x_BCHW: Tensor) -> dict[str, Tensor]:
    """What each BatchNorm takes in when the network normalises by the batch's own statistics."""
    inputs = {}
    hooks = [
        norm.register_forward_pre_hook(lambda _, args, name=name: inputs.update({name: args[0].detach().double()}))
        for name, norm in norms_of(network).items()
    ]
    network.train()
    network(x_BCHW)
    for hook in hooks:
        hook.remove()
    return inputs


def all_images(images: ImageBatches, limit: int | None = None) -> Tensor:
    return torch.cat([x_BCHW for x_BCHW, _ in images.in_order(10_000, limit)])


@pytest.mark.parametrize("count", [EVALUATION_BATCH, EVALUATION_BATCH - 14])
def test_statistics_of_one_batch_are_exact_in_every_layer(space: FBNetSpace, batches: BatchesOf, count: int) -> None:
    """Mean and unbiased variance; what came before is forgotten."""
    network, images = network_of(space), batches(count)
    inputs = inputs_of_norms(network, all_images(images))
    recalibrate(network, images)
    for name, norm in norms_of(network).items():
        mean, variance = statistics_of(norm)
        torch.testing.assert_close(mean, inputs[name].mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(variance, inputs[name].var((0, 2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (4 * EVALUATION_BATCH, [EVALUATION_BATCH] * 4),
        (EVALUATION_BATCH + 1, [EVALUATION_BATCH // 2] * 2),
        (200, [50] * 4),
        (RECALIBRATION_IMAGES + 100, [EVALUATION_BATCH] * (RECALIBRATION_IMAGES // EVALUATION_BATCH)),
    ],
)
def test_statistics_are_averages_over_batches_of_one_size(
    space: FBNetSpace, batches: BatchesOf, count: int, sizes: list[int]
) -> None:
    """In the stem, whose inputs depend on no BatchNorm: the exact mean, and the mean of unbiased variances."""
    network, images = network_of(space), batches(count)
    recalibrate(network, images)
    mean, variance = statistics_of(network.get_submodule("stem.norm"))
    with torch.no_grad():
        x_BCHW = network.get_submodule("stem.conv")(all_images(images, sum(sizes))).double()
    torch.testing.assert_close(mean, x_BCHW.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    variances = torch.stack([part.var((0, 2, 3)) for part in x_BCHW.split(sizes)])
    torch.testing.assert_close(variance, variances.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(variance, x_BCHW.var((0, 2, 3)), rtol=0.05, atol=0)
    assert all(norm.num_batches_tracked == len(sizes) for norm in norms_of(network).values())


def test_one_image_more_than_a_batch_works_down_to_maps_of_one_pixel(space: FBNetSpace, batches: BatchesOf) -> None:
    narrow = replace(space, stages=(Stage(4, 1, 2), Stage(4, 1, 2), Stage(6, 1, 2)))
    network = network_of(narrow)
    recalibrate(network, batches(EVALUATION_BATCH + 1))
    assert all(statistics_of(norm)[1].isfinite().all() for norm in norms_of(network).values())


def test_only_the_first_images_count(space: FBNetSpace, batches: BatchesOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.accuracy.RECALIBRATION_IMAGES", 40)
    images = batches(60)
    few = network_of(space)
    recalibrate(few, images)
    inputs = inputs_of_norms(network_of(space), all_images(images, 40))
    for name, norm in norms_of(few).items():
        torch.testing.assert_close(statistics_of(norm)[0], inputs[name].mean((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_recalibration_leaves_evaluation_mode_on_and_all_else_as_it_was(space: FBNetSpace, batches: BatchesOf) -> None:
    network = network_of(space).train()
    for number, norm in enumerate(norms_of(network).values()):
        norm.momentum = 0.01 * number
    momenta = [norm.momentum for norm in norms_of(network).values()]
    weights = [parameter.clone() for parameter in network.parameters()]
    recalibrate(network, batches(70))
    assert not any(module.training for module in network.modules())
    assert [norm.momentum for norm in norms_of(network).values()] == momenta
    for one, other in zip(network.parameters(), weights, strict=True):
        assert torch.equal(one, other)
        assert one.grad is None


def test_recalibration_twice_is_recalibration_once(space: FBNetSpace, batches: BatchesOf) -> None:
    network, images = network_of(space), batches(130)
    recalibrate(network, images)
    first = {name: value.clone() for name, value in network.state_dict().items()}
    recalibrate(network, images)
    assert all(torch.equal(value, first[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("weight_sharing", ["shared", "separate"])
def test_an_inherited_network_gives_the_supernets_logits(
    space: FBNetSpace, batches: BatchesOf, weight_sharing: WeightSharing
) -> None:
    """On a single batch: up to the unbiased variance, which the network uses, and the biased one of training."""
    torch.manual_seed(0)
    supernet, images = build_supernet(space, weight_sharing), batches(EVALUATION_BATCH)
    graph = space.graph(tuple(space.operators[index] for index in INDICES))
    network = inherited_network(graph, supernet.sub_network_state(INDICES), images)
    assert not network.training
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, supernet.sub_network_state(INDICES)[name])
    with torch.no_grad():
        x_BCHW = all_images(images)
        torch.testing.assert_close(network(x_BCHW), supernet.forward_path(x_BCHW, INDICES), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("count", [1, EVALUATION_BATCH, 150])
def test_classification_equals_a_loop_over_single_images(space: FBNetSpace, batches: BatchesOf, count: int) -> None:
    network, images = network_of(space), batches(count)
    recalibrate(network, batches(100))
    wrong, nats = 0, 0.0
    with torch.no_grad():
        for x_BCHW, labels_B in images.in_order(1):
            probs_K = torch.softmax(network(x_BCHW)[0].double(), -1).tolist()
            label = int(labels_B)
            wrong += int(np.argmax(probs_K)) != label
            nats -= math.log(probs_K[label])
    network.train()
    error, cross_entropy = classification(network, images)
    assert error == wrong / count
    assert cross_entropy == pytest.approx(nats / count, rel=1e-5)
    assert not any(module.training for module in network.modules())


def test_classification_leaves_the_network_as_it_was(space: FBNetSpace, batches: BatchesOf) -> None:
    """It can go on being trained."""
    network, images = network_of(space), batches(70)
    recalibrate(network, images)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    classification(network, images)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    network.train()(all_images(images)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_network_that_always_says_one_class(batches: BatchesOf) -> None:
    images = batches(100)

    class Always(nn.Module):
        def forward(self, x_BCHW: Tensor) -> Tensor:
            return torch.tensor([0.0, 5.0, 0.0]).expand(len(x_BCHW), 3)

    found = classified(Always(), images)
    assert found.error == float((images.labels_N != 1).double().mean())
    assert found.correct_N.tolist() == (images.labels_N == 1).tolist()


def test_folding_gives_the_outputs_of_torchs_own_bit_for_bit(space: FBNetSpace, batches: BatchesOf) -> None:
    network, images = network_of(space), batches(70)
    recalibrate(network, images)
    quick, expected = folded(network), copy.deepcopy(network)
    for block in expected.modules():
        if isinstance(block, ConvBlock) and isinstance(block.norm, nn.BatchNorm2d):
            block.conv, block.norm = fuse_conv_bn_eval(block.conv, block.norm), nn.Identity()
    with torch.no_grad():
        assert torch.equal(quick(all_images(images)), expected(all_images(images)))


def test_an_evaluation_leaves_the_supernet_as_it_was(space: FBNetSpace, batches: BatchesOf) -> None:
    supernet, images = build_supernet(space, "shared"), batches(100)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    graph = space.graph(tuple(space.operators[index] for index in INDICES))
    network = inherited_network(graph, supernet.sub_network_state(INDICES), images)
    assert not any(value.is_meta for value in network.state_dict().values())
    classification(network, images)
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


@pytest.mark.parametrize(("count", "expected"), [(5000, 1000), (1024, 1024), (100, 100), (1025, 513), (0, 128)])
def test_a_gpu_evaluates_large_batches_of_nearly_one_size(count: int, expected: int, image_data: ImageDataOf) -> None:
    splits = replace(split_data(image_data(size=8), 0), network_size=32)
    images = LabelledImages(np.zeros((count, 3, 8, 8), np.uint8), np.zeros(count, np.int64))
    assert batch_size_for(ImageBatches(images, splits, device=torch.device("meta")), 128) == expected
    assert batch_size_for(ImageBatches(images, splits), 128) == 128
