from __future__ import annotations

import pytest

from benchmarks.early_exits.inner_search import InnerSearchConfig, contents_rows, drawn, engine_row
from benchmarks.early_exits.networks import drawn_networks

CONFIG = InnerSearchConfig(threads=(1, 4), clocks=2, max_exits=1, images=60, seeds=(0, 1), policies=(80,), finest=5000)


@pytest.mark.slow
@pytest.mark.thorough
def test_exits_and_configurations_only_add_and_no_engine_beats_the_exhaustive_search() -> None:
    networks, reference = drawn_networks(2, CONFIG.board, CONFIG.threads, CONFIG.clocks, images=CONFIG.images)
    row = engine_row(networks[0], reference, CONFIG)
    assert (row.exits, row.configurations) == (18, 8)
    assert 0.99 < row.share <= 1 + 1e-9
    assert 0 < row.nsga2_share <= 1 + 1e-9
    rows = contents_rows(networks, reference, CONFIG)
    found = {(one.contents, one.policies): one for one in rows if one.engine in ("", "factorised")}
    assert found["static", None].mean == 1
    assert 1 < found["exits", None].mean < found["both", None].mean
    assert 1 < found["configurations", None].mean < found["both", None].mean
    for one in rows:
        assert one.low <= one.mean <= one.high
    assert found["both", None].one_plan < found["both", None].mean + 0.01
    assert drawn(rows).axes[0].get_ylabel()
