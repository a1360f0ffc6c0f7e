"""What a run hands over once networks were trained: their files in front/<id>/, cards, curves, and front.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.training.folder import TrainFolder, read_files, read_result
from evaluation.training.loop import TrainRecord
from moo.analysis.errors import error_kind
from moo.deployment.baselines import baseline_graph_of
from moo.deployment.finished_run import FinishedRun
from moo.formatting import percent
from moo.report.card import Card, baseline_card, card_markdown, front_card
from moo.search.outputs import write_front, write_litert_of_front
from moo.storage.archive import Archive, networks_of
from moo.storage.store import StoreReader
from moo.storage.trained_network import TrainedNetwork
from moo.visualization.style import save_figure
from moo.visualization.training import training_curves
from search_space.boundary.writing import write_atomically

HANDED_OVER = ("architecture.json", "weights.safetensors", "model.onnx", "model_int8.onnx", "curves.png", "card.md")
"""Files of a training that go into front/<id>/."""


def write_retrained(
    run: FinishedRun, archive: Archive, store: StoreReader, records: Mapping[str, Sequence[TrainRecord]]
) -> None:
    """Write curves and cards of trained networks, the files of those on the front, and front.json.

    Args:
        run: that they were trained in.
        archive: of the run, with its trainings.
        store: of the run.
        records: figures of all epochs of the networks that were trained now, by name.
    """
    folder, dataset = run.folder, run.config.dataset
    for network in store.trained(baselines=False) + store.trained(baselines=True):
        training = folder.baseline(network.name) if network.baseline else folder.training(network.name)
        if records.get(network.name):
            title = f"{network.name}, trained {'from inherited weights' if network.fine_tuned else 'from scratch'}"
            if network.pretrained is not None:
                title = f"{network.name}, all layers fine-tuned from pre-trained weights"
            subtitle = f"{dataset}, {network.epochs:.3g} epochs; test top-1 {percent(network.top1)}"
            curves = training_curves(records[network.name], title, subtitle, kind=error_kind(archive.data))
            save_figure(curves, training.curves)
        card = _card(run, archive, network)
        if card is not None:
            write_atomically(training.card, card_markdown(card, run.origin.dataset, dataset=dataset).encode())
    front_size = run.config.front_size
    write_front(folder, archive, run.space, {}, run.origin.dataset, dataset=dataset, front_size=front_size)
    for entry in networks_of(archive.front()):
        if entry.trained is not None:
            _hand_over(folder.training(entry.architecture.id), folder.networks / entry.architecture.id)
    write_litert_of_front(folder, archive)


def _card(run: FinishedRun, archive: Archive, network: TrainedNetwork) -> Card | None:
    """The card of a trained network; None where the run does not know it."""
    if network.baseline:
        graph = baseline_graph_of(network, run)
        return baseline_card(network, graph, archive)
    if network.name not in archive:
        return None
    entry = archive[network.name]
    return front_card(entry, archive, run.space)


def _hand_over(training: TrainFolder, target: Path) -> None:
    """Copy what is handed over of a training; the inherited network's files that lie there give way."""
    result = read_result(training)
    contents = {} if result is None else read_files(training, result)
    for name in HANDED_OVER:
        source = training.path / name
        if name in contents or source.exists():
            write_atomically(target / name, contents[name] if name in contents else source.read_bytes())
