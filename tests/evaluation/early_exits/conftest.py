from __future__ import annotations

import pytest

from evaluation.splits import Splits
from tests.evaluation.early_exits.colours import colours


@pytest.fixture(scope="session")
def splits() -> Splits:
    """Images that a tiny network tells apart in seconds."""
    return colours()
