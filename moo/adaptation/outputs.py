"""What a run hands over of its adaptive networks: their front, and a folder for each. Start with `write_adapted`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from moo.adaptation.handover.folder import with_notes, write_adaptive
from moo.adaptation.inputs import AdaptationInputs
from moo.adaptation.training.deployed import Deployment
from moo.storage.adaptive_front import FOLDER, AdaptivePoint, write_adaptive_front
from moo.storage.archive import networks_of


def write_adapted(
    inputs: AdaptationInputs,
    front: Sequence[AdaptivePoint],
    deployments: Mapping[str, Deployment],
    *,
    compared: Sequence[AdaptivePoint],
) -> None:
    """Write front/<id>/adaptive/ of each network that is on the front with exits, and last front_adaptive.json.

    Folders of networks that are on it no more go.

    Args:
        inputs: what the networks were adapted with.
        front: best accuracy first.
        deployments: by the network's id.
        compared: all that it was chosen from, networks as they are among them: what exits gain is told of these.
    """
    folder = inputs.run.folder
    with_exits = list(dict.fromkeys(point.id for point in front if point.exits))
    static = {entry.architecture.id for entry in networks_of(inputs.record.archive.front())}
    for path in sorted(folder.networks.iterdir()) if folder.networks.is_dir() else ():
        if (path / FOLDER).is_dir() and path.name not in with_exits:
            shutil.rmtree(path / FOLDER if path.name in static else path)
    for name in with_exits:
        points = [point for point in front if point.id == name]
        data, space = inputs.run.origin.dataset, inputs.run.space
        segments = deployments[name].segments.values()
        write_adaptive(
            folder.networks / name / FOLDER,
            points,
            tuple(with_notes(one, points[0].architecture, data, space) for one in segments),
            data,
            space,
            dataset=inputs.run.config.dataset,
        )
    write_adaptive_front(folder.adaptive_points, compared)
    write_adaptive_front(folder.adaptive_front, front)
