"""Optuna's multivariate tree-structured Parzen estimator as one more method; the extra `rivals`."""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np

from benchmarks.tabular.methods import Task
from benchmarks.tabular.table import SHAPE, LookUps


def check_installed() -> None:
    """Check that Optuna is there.

    Raises:
        ValueError: if it is not.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ValueError("`--tpe` needs Optuna, which is not installed: pip install 'pi-pareto-nas[rivals]'.")


def tree_parzen(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """TPE for several objectives, with operators as categories (Ozaki et al., 2022).

    What it asks again is told again, and is no evaluation.
    """
    optuna = importlib.import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(multivariate=True, seed=int(rng.integers(2**31)))
    objectives = 1 + len(task.costs)
    study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    while lookups.left:
        trial = study.ask()
        indices = tuple(trial.suggest_int(f"edge {edge}", 0, operators - 1) for edge, operators in enumerate(SHAPE))
        study.tell(trial, task.objectives(indices, lookups)[:objectives])
