"""How trained networks were trained: errors compare only between networks of one recipe. Start with `mixture`."""

from __future__ import annotations

from collections.abc import Sequence

from moo.formatting import span
from moo.storage.trained_network import TrainedNetwork

EPOCHS_APART = 0.1
"""Networks of one recipe differ at most by this share of the fewest epochs among them."""


def alike(networks: Sequence[TrainedNetwork]) -> tuple[TrainedNetwork, ...]:
    """The networks of the most frequent recipe, in the order given; of equally frequent ones, that of most epochs.

    One recipe is one start, from random or from inherited weights, and epochs that differ by at most a tenth.
    """
    recipes = [
        tuple(
            network
            for network in networks
            if network.fine_tuned == least.fine_tuned
            and least.epochs <= network.epochs <= (1 + EPOCHS_APART) * least.epochs
        )
        for least in networks
    ]
    return max(recipes, key=lambda recipe: (len(recipe), max(network.epochs for network in recipe)), default=())


def mixture(networks: Sequence[TrainedNetwork]) -> str:
    """A sentence that says how networks were trained differently; empty where all were trained alike."""
    recipes, rest = [], list(networks)
    while rest:
        recipes.append(alike(rest))
        rest = [network for network in rest if network not in recipes[-1]]
    if len(recipes) < 2:
        return ""
    said = ", ".join(
        f"{len(recipe)} for {many_epochs(recipe)} from {'inherited' if recipe[0].fine_tuned else 'random'} weights"
        for recipe in recipes
    )
    return f"Not all were trained alike ({said}): their errors differ by their training too."


def how_trained(network: TrainedNetwork) -> str:
    """How one network came to its weights: `trained from scratch for 60 epochs (400 s)`."""
    epochs = f"{network.epochs:.3g} epochs ({network.seconds:.0f} s)"
    if network.pretrained is None:
        start = "fine-tuned from inherited weights" if network.fine_tuned else "trained from scratch"
        return f"{start} for {epochs}"
    if network.head_only:
        part = f"its last layer fitted, which was better than fine-tuning all for {epochs}"
    else:
        part = f"all layers fine-tuned for {epochs}"
    return f"pre-trained ({network.pretrained.source}), {part}"


def many_epochs(networks: Sequence[TrainedNetwork]) -> str:
    """The epochs that networks were trained for, at least one network: `3 to 5 epochs`."""
    epochs = span((network.epochs for network in networks), ".3g")
    return f"{epochs} {'epoch' if epochs == '1' else 'epochs'}"
