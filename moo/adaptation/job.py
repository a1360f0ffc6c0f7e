"""The whole job of `adapt_front`: trained networks of a run get exits, and the run the front of what they can do.

Start with `adapt_in_run`. Each stage keeps its results in `adaptations/<id>/` before the next one begins: an
interrupted job goes on where it was, and ends with the same front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from devices.configuration import Precision, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.work_folder import lock_folder
from moo import events
from moo.adaptation.backbones import Backbone, PassedOver, prepared_backbones
from moo.adaptation.config import AdaptFrontConfig
from moo.adaptation.costs import predicted_costs_of
from moo.adaptation.deployed import Deployment, check_deployment
from moo.adaptation.inner_search import search_policies
from moo.adaptation.networks import CandidateNetworks, candidate_networks, chosen_networks
from moo.adaptation.points import joint_front, static_points
from moo.adaptation.policy_points import PolicyPoint
from moo.deployment.finished_run import FinishedRun, open_run, record_of
from moo.execution.backend import Trainer
from moo.execution.ray_trainer import start_ray_trainer
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.record import RunRecord
from search_space.boundary.reading import local_path
from search_space.exits import keeps_head_limit
