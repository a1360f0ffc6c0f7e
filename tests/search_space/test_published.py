import pytest

from search_space.counts import Counts, count
from search_space.published import PUBLISHED, published_named
from search_space.spaces import space_named


def _counts(name: str) -> Counts:
    published = PUBLISHED[name]
    return count(space_named(published.space, published=name).graph(published.operators))


def test_fbnet_a_equals_the_published_counts() -> None:
    # Published with the authors' models (mobile-vision, 2019): 249.921848 M FLOPs; 4.28648 M weights of convolutions
    # and classifier, to which BatchNorm and the bias add 34,984.
    assert _counts("fbnet-a") == Counts(macs=249_921_848, params=4_321_464)


@pytest.mark.parametrize(
    ("name", "published_macs", "macs_of_k5_e6_instead", "params"),
    [
        # Published: 295.561032 M and 382.98448 M. One (B) and two (C) blocks with two stacked 3x3 depthwise
        # convolutions are k5_e6 here, which adds 25 - 18 = 7 MACs a channel and output position: 192 channels at
        # 28 x 28 in both, 672 channels at 14 x 14 in C too.
        ("fbnet-b", 295_561_032, 7 * 192 * 28**2, 4_813_048),
        # timm's `fbnetc_100`, which has k5_e6 there too, has 5,572,200 parameters.
        ("fbnet-c", 382_984_480, 7 * (192 * 28**2 + 672 * 14**2), 5_572_200),
    ],
)
def test_fbnet_b_and_c_differ_from_the_published_by_the_replaced_blocks(
    name: str, published_macs: int, macs_of_k5_e6_instead: int, params: int
) -> None:
    assert _counts(name) == Counts(macs=published_macs + macs_of_k5_e6_instead, params=params)
    assert _counts("fbnet-b").macs == 296_614_728
    assert _counts("fbnet-c").macs == 384_960_160


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_architecture_fits_the_space_it_was_published_for(name: str) -> None:
    published = PUBLISHED[name]
    space = space_named(published.space)
    assert len(published.operators) == space.num_layers == 22
    assert set(published.operators) <= set(space.operators)
    assert published.source


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("fbnet_a", "fbnet-a"),
        ("FBNet-B", "fbnet-b"),
        ("fbnetc", "fbnet-c"),
        ("fbnet_96_035_1", "fbnet-96-0.35-1"),
        ("fbnet_samsung_s8", "fbnet-samsung-s8"),
        ("fbnet_iphonex", "fbnet-iphone-x"),
        ("fbnet_cpu_sample1", "fbnet-cpu-sample1"),
        ("fbnet_cpu_sample2", "fbnet-cpu-sample2"),
    ],
)
def test_names_of_the_reproduction(name: str, ours: str) -> None:
    assert published_named(name) is PUBLISHED[ours]


@pytest.mark.parametrize("name", ["fbnet-d", "fbnet", "", "0820", "fbnet_cpu_sample3"])
def test_other_names_are_none(name: str) -> None:
    assert published_named(name) is None


def test_networks_that_the_reproduction_found_have_its_head() -> None:
    for name in ("fbnet_cpu_sample1", "fbnet_cpu_sample2"):
        space = space_named("fbnet-imagenet", published=name)
        assert space.last_channels == 1504
        # The blocks end in a skip: 16 x 8 x 22 layers of which 8 and 11 are the identity or a strided convolution.
    counts = {name: PUBLISHED[name].operators.count("skip") for name in ("fbnet-cpu-sample1", "fbnet-cpu-sample2")}
    assert counts == {"fbnet-cpu-sample1": 9, "fbnet-cpu-sample2": 11}
