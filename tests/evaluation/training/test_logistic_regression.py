from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from evaluation.training.logistic_regression import LEAST_SPREAD, logistic_regression


@pytest.mark.parametrize("penalty", [1e-3, 0.01, 1.0])
def test_it_is_that_of_another_library(penalty: float) -> None:
    rng = np.random.default_rng(0)
    features_NF, labels_N = rng.standard_normal((60, 5)).astype(np.float32), rng.integers(3, size=60)
    features_NF[:, 0] += labels_N
    features_NF[:, 1] = 30 * features_NF[:, 1] + 100
    weight_KF, bias_K = logistic_regression(
        torch.from_numpy(features_NF), torch.from_numpy(labels_N), 3, penalty=penalty
    )
    std_F = features_NF.std(0, ddof=1)
    standardised_NF = (features_NF - features_NF.mean(0)) / (std_F + LEAST_SPREAD * std_F.mean())
    oracle = LogisticRegression(C=1 / (2 * penalty * 60), tol=1e-8, max_iter=1000).fit(standardised_NF, labels_N)
    logits = features_NF @ weight_KF.numpy().T + bias_K.numpy()
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert probs == pytest.approx(oracle.predict_proba(standardised_NF), abs=1e-3)


def test_features_that_do_not_vary_get_no_weight() -> None:
    features_NF = torch.randn(40, 3)
    features_NF[:, 2] = 7.0
    weight_KF, bias_K = logistic_regression(features_NF, torch.arange(40) % 2, 2, penalty=1e-3)
    assert torch.isfinite(weight_KF).all()
    assert torch.isfinite(bias_K).all()
    assert weight_KF[:, 2].abs().max() < 1e-4
