"""Files of images that a machine of a cluster lacks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import ray

from evaluation.data.facts import DatasetFacts
from evaluation.data.image_file import IMAGES_FOLDER, ImageFile, ImageWriter, images_folder
from moo.execution import ray_images
from moo.execution.ray_images import OfferedImages

pytestmark = pytest.mark.slow
FACTS = DatasetFacts(train_split="train", test_split=None, images_of_class=(40,), test_images_of_class=())


def work(offered: OfferedImages) -> tuple[int, list[tuple[str, int]]]:
    """On a worker: the sum of all pixels, and which files its machine has."""
    offered.have()
    found = [(one.name, one.stat().st_ino) for one in images_folder().glob("*.images")]
    return int(offered.files[0][0].mapped.sum()), found


def test_workers_of_a_machine_without_a_file_are_sent_it_once(tmp_path: Path) -> None:
    path = tmp_path / "driver.images"
    pixels_NCHW = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    with path.open("w+b") as own:
        writer = ImageWriter(own, 8)
        for image_CHW in pixels_NCHW:
            writer.add(image_CHW)
        details = writer.finish(omitted=((),), grey=False, width=8, height=8, scattered=False, facts=FACTS)
    file = ImageFile(Path("/nowhere/images.images"), details)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        offered = OfferedImages(((file, ray_images._new_sender.options(num_cpus=0).remote(path)),))
        elsewhere = {"env_vars": {IMAGES_FOLDER: str(tmp_path / "node")}}
        task = ray.remote(work).options(runtime_env=elsewhere)
        first, second = ray.get([task.remote(offered), task.remote(offered)])
    finally:
        ray.shutdown()
    assert first == second
    assert first[0] == pixels_NCHW.sum()
    assert [name for name, _ in first[1]] == ["images.images"]
