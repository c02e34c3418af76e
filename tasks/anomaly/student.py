"""The forecast: a multivariate Student-t distribution of a step's features.

Its tails are heavy, so that one person's unusual movement neither rules the loss in training nor
the ranking of scores afterwards (K. L. Lange, R. J. A. Little, J. M. G. Taylor, Robust statistical
modeling using the t distribution, JASA 84, 1989). With F features, location m, and a
lower-triangular L whose product ``L^T L`` is the inverse of the scale matrix::

    z   = L (y - m)
    NLL = (nu + F)/2 log(1 + |z|^2 / nu) - log det L + F/2 log(nu pi) + lnG(nu/2) - lnG((nu + F)/2)

with lnG the logarithm of the gamma function. So what is large is the Mahalanobis distance of the
residual under the forecast's own scale matrix.

A prediction holds m, the logarithms of L's diagonal, and, unless L is to be diagonal, the rest of L
row by row.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FREEDOM = 5.0
"""nu, degrees of freedom."""
LIMIT = 6.0
"""Bound of the logarithms of L's diagonal, in a smooth way: scales are within e^-6 and e^6."""


def residual_nll(predictions: Tensor, observed: Tensor) -> Tensor:
    """Return the NLL of each step, in nats per feature.

    Args:
        predictions: ``[N, K]``; L is full where K is more than 2 F.
        observed: ``[N, F]``.

    Returns:
        ``[N]``: the step's NLL divided by F.
    """
    features = observed.shape[1]
    residual = observed.to(predictions.dtype) - predictions[:, :features]
    log_diagonal = LIMIT * torch.tanh(predictions[:, features : 2 * features] / LIMIT)
    whitened = residual * log_diagonal.exp()
    if predictions.shape[1] > 2 * features:
        rows, columns = np.tril_indices(features, -1)
        below = predictions.new_zeros(len(predictions), features, features)
        below[:, rows, columns] = predictions[:, 2 * features :]
        whitened = whitened + (below @ residual[:, :, None])[:, :, 0]
    distance = whitened.square().sum(dim=1)
    half = (FREEDOM + features) / 2
    constant = (
        features / 2 * math.log(FREEDOM * math.pi) + math.lgamma(FREEDOM / 2) - math.lgamma(half)
    )
    nll = half * torch.log1p(distance / FREEDOM) - log_diagonal.sum(dim=1) + constant
    return nll / features


def static_prediction(observed: NDArray[np.float64], full: bool, iterations: int = 50) -> Tensor:
    """Return the one prediction ``[K]`` that fits all steps best, whatever came before.

    The maximum likelihood is climbed by Lange, Little & Taylor's iteration: location and scale are
    means weighted by ``(nu + F) / (nu + |z|^2)``.

    Args:
        observed: ``[N, F]``.
        full: whether L is full.
        iterations: of the algorithm.
    """
    steps, features = observed.shape
    ridge = 1e-4 * np.eye(features)  # a feature may be constant, or a sum of others
    location = observed.mean(axis=0)
    scale = np.cov(observed.T, ddof=0).reshape(features, features)
    for _ in range(iterations):
        scale = (scale if full else np.diag(np.diag(scale))) + ridge
        residual = observed - location
        distance = (residual * np.linalg.solve(scale, residual.T).T).sum(axis=1)
        weight = (FREEDOM + features) / (FREEDOM + distance)
        location = weight @ observed / weight.sum()
        residual = observed - location
        scale = (residual * weight[:, None]).T @ residual / steps
    scale = (scale if full else np.diag(np.diag(scale))) + ridge
    # L^T L with L lower-triangular: the Cholesky factor of the matrix read backwards
    lower = np.linalg.cholesky(np.linalg.inv(scale)[::-1, ::-1]).T[::-1, ::-1]
    bounded = np.clip(np.log(np.diag(lower)) / LIMIT, -0.999, 0.999)
    parts = [location, LIMIT * np.arctanh(bounded)]
    if full:
        parts.append(lower[np.tril_indices(features, -1)])
    return torch.from_numpy(np.concatenate(parts)).float()
