"""Which tests run when; CONTRIBUTING.md says what is slow and what is thorough."""

from __future__ import annotations

import pytest

THOROUGH = (pytest.mark.slow, pytest.mark.thorough)
"""Of a case beside quicker ones that provoke the same in part: `pytest.param(..., marks=THOROUGH)`."""
