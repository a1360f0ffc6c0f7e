"""What a search takes over from a finished run, on another board say. Start with `take_over`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from devices.cost_tables.family import CostTables, read_cost_tables
from devices.quantization import Activations, activations_for
from evaluation.splits import Splits
from moo.analysis.selection import read_front
from moo.config import SearchConfig
from moo.storage.choices import check_source_supernet
from moo.storage.record import RunRecord
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from moo.trials import ArchitectureTrial, TrialResult
from search_space.architectures import architecture_from_indices
from search_space.boundary.reading import local_path
from search_space.boundary.sealing import sealed_tensors
from search_space.boundary.writing import write_atomically
from search_space.counts import count
from search_space.spaces import FBNetSpace

GENERATION = -1
"""Of the trials that were taken over: before the first of the run's own."""
EVENT = "taken over"


def source_folder(config: SearchConfig) -> RunFolder:
    """The run that a search takes over from.

    Raises:
        ValueError: if it is none, or has no supernet or no store.
    """
    assert config.from_run is not None, "the search must take over from a run"
    folder = RunFolder(local_path(config.from_run))
    missing = [path.name for path in (folder.config, folder.supernet, folder.store) if not path.is_file()]
    if missing:
        raise ValueError(
            f"`--from` must name the folder of a run with a supernet, but {str(folder.path)!r} lacks "
            f"{', '.join(missing)}: name a run that has ended its search."
        )
    return folder


def source_supernet(config: SearchConfig) -> bytes:
    """Weights of the supernet that a search takes over, as safetensors.

    Raises:
        ValueError: as `source_folder`, and if they are damaged, or not those that the run's results were made with.
    """
    folder = source_folder(config)
    weights = folder.read_supernet()
    with closing(read_store(folder.store)) as store:
        check_source_supernet(store, folder)
    return weights


def is_warm_start(config: SearchConfig, space: FBNetSpace, splits: Splits) -> bool:
    """Whether a search only starts from a run's supernet, as its images are others; else it takes all of it over.

    Args:
        config: of the search; names the run.
        space: that is searched, with the classes of the images.
        splits: of the images.

    Raises:
        ValueError: if the run's supernet has another form, images that it was trained on would be tested on, or errors
            that are taken over are of another kind.
    """
    saved, origin = source_folder(config).read_config(option="--from")
    if origin.dataset.fingerprint == splits.fingerprint and origin.space == space:
        if saved.error != config.error:
            raise ValueError(
                f"a search that takes over evaluated networks must have their `--error`, {saved.error}, but got "
                f"{config.error}: omit --error, or --from."
            )
        return False
    if saved.weight_sharing != config.weight_sharing or _form(origin.space) != _form(space):
        raise ValueError(
            f"`--from` must name a run whose supernet has the same stem, stages, operators and weight sharing, but "
            f"that of {config.from_run!r} is {origin.space.name} ({saved.weight_sharing}), and {space.name} "
            f"({config.weight_sharing}) is searched: give its `--space`."
        )
    if saved.dataset == config.dataset and saved.seed != config.seed:
        raise ValueError(
            f"a search that starts from a run on the same data set must have its `--seed`, {saved.seed}, or it would "
            f"test on images that the supernet was trained on, but got {config.seed}."
        )
    return True


def _form(space: FBNetSpace) -> tuple[object, ...]:
    """What the weights of a space's supernet depend on, but for its classifier."""
    return space.stem_channels, space.stem_stride, space.stages, space.last_channels, space.operators


def take_over(
    config: SearchConfig, record: RunRecord, space: FBNetSpace, tables: CostTables, *, activations: Activations
) -> None:
    """Put what a run has evaluated into another run, with the costs of that one's board; once.

    Errors in int8 are taken over where both boards compute with the same type of activations.

    Args:
        config: of the new run; names the old one.
        record: of the new run; its archive is loaded.
        space: that both search.
        tables: of the new run, with energy above idle.
        activations: of networks in int8 in the new run.

    Raises:
        ValueError: as `source_folder`.
    """
    if not record.folder.supernet.exists():
        write_atomically(record.folder.supernet, sealed_tensors(source_supernet(config)))
    if taken_over(record) is not None:
        return
    source = source_folder(config)
    _, origin = source.read_config(option="--from")
    board = origin.board
    same = activations == activations_for(None if board is None else board.machine)
    table = config.energy_objective.table(tables.base)
    with closing(read_store(source.store)) as store:
        evaluated = store.evaluated(space)
    stored = record.store.trials()
    results = []
    for number, item in enumerate(evaluated):
        architecture = replace(
            item,
            latency_ms=table.latency_of(item.indices),
            energy_mj=table.energy_of(item.indices),
            params=count(space.graph(tuple(space.operators[index] for index in item.indices))).params,
            quantized_error=item.quantized_error if same else None,
        )
        trial = ArchitectureTrial(id=number, generation=GENERATION, indices=item.indices)
        results.append(TrialResult(trial=trial, architectures=(architecture,), chosen=0, theta=None, seconds=0.0))
    read_cost_tables(source.cost_table).write(record.folder.source_cost_table)
    in_int8 = {
        architecture_from_indices(space, item.indices).id: item.quantized_error
        for item in evaluated
        if item.quantized_error is not None
    }
    # All or nothing: the other run may go on meanwhile, and half of one state would be mixed with half of another.
    with record.together():
        for result in results:
            # An earlier version may have been interrupted half-way.
            if result.trial.id not in stored:
                record.add_result(result, space)
        record.add_event(
            EVENT,
            source=str(source.path.resolve()),
            architectures=len(evaluated),
            front=_front_of(source),
            in_int8=in_int8,
        )


def _front_of(source: RunFolder) -> list[str]:
    """Ids of the networks of a run's front; none of a run that has not ended."""
    return list(dict.fromkeys(network.id for network in read_front(source.path))) if source.front.exists() else []


def taken_over(record: RunRecord) -> int | None:
    """How many architectures a run has taken over; None if it has not, or not all of them."""
    for _, kind, content in record.store.events():
        match kind, content:
            case "taken over", {"architectures": int(number)}:
                return number
    return None
