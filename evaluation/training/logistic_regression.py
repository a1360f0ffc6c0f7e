"""The best linear classifier of features that stay as they are.

Shape suffixes: N images, F features, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_SPREAD = 0.1
"""What is added to each feature's standard deviation, as a share of their mean."""
MOST_STEPS = 100


def logistic_regression(
    features_NF: Tensor, labels_N: Tensor, classes: int, *, penalty: float
) -> tuple[Tensor, Tensor]:
    """Weights (K, F) and biases (K,) with the least mean cross-entropy and penalty.

    Args:
        features_NF: are standardised for the fit; what is returned applies to them as they are.
        labels_N: class of each image.
        classes: K.
        penalty: weight of the squared norm of the weights of standardised features.
    """
    mean_F, std_F = features_NF.mean(0), features_NF.std(0)
    # Features that hardly vary here may vary in other images: they get no weight to speak of.
    std_F = std_F + LEAST_SPREAD * std_F.mean() + 1e-6
    standardised_NF = (features_NF - mean_F) / std_F
    weight_KF = torch.zeros(classes, features_NF.shape[1], device=features_NF.device, requires_grad=True)
    bias_K = torch.zeros(classes, device=features_NF.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_KF, bias_K], max_iter=MOST_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(standardised_NF, weight_KF, bias_K), labels_N)
        loss = loss + penalty * weight_KF.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    scaled_KF = weight_KF.detach() / std_F
    return scaled_KF, bias_K.detach() - scaled_KF @ mean_F
