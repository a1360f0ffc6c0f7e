"""Run folders of earlier versions, brought to the present one. Each change of the store or the folder adds a step."""

from __future__ import annotations

from pathlib import Path

from moo.storage.run_folder import RunFolder
from moo.storage.schema import SCHEMA, SCHEMA_VERSION, SEALS

STEPS = {
    2: """
ALTER TABLE tuples RENAME TO trials;
ALTER TABLE evaluations RENAME COLUMN tuple_id TO trial_id;
DROP INDEX tuples_by_date;
CREATE INDEX trials_by_date ON trials (date, id);
UPDATE events SET kind = 'trial failed', content =
    json_set(json_remove(content, '$.tuple'), '$.trial', json_extract(content, '$.tuple')) WHERE kind = 'tuple failed';
UPDATE events SET content =
    json_set(json_remove(content, '$.job'), '$.trial', json_extract(content, '$.job'))
    WHERE kind = 'converged' AND json_extract(content, '$.job') IS NOT NULL;
""",
    3: """
ALTER TABLE trials ADD COLUMN configuration TEXT;
ALTER TABLE architectures ADD COLUMN params INTEGER;
ALTER TABLE architectures ADD COLUMN quantized_error REAL;
ALTER TABLE architectures ADD COLUMN quantized_test_error REAL;
""",
    4: """
ALTER TABLE architectures ADD COLUMN correct BLOB;
""",
    5: SEALS,
    6: """
ALTER TABLE evaluations ADD COLUMN adaptive TEXT;
""",
}
"""SQL that brings a store from a version, the key, to the next one."""
RENAMED = (("checkpoints", "steered_*.json", "steered_", "surrogate_"), ("tensorboard", "tuple_*", "tuple_", "trial_"))
"""Folder, pattern, and the prefix of names before and now."""


def statements_from(version: int, path: Path) -> list[str]:
    """SQL statements that bring a store of a version, 0 for an empty one, to the present version.

    Args:
        version: the store's `user_version`.
        path: of the store, for the message.

    Raises:
        ValueError: if there is no way from that version.
    """
    if version == 0:
        return _split(SCHEMA)
    if version > SCHEMA_VERSION or any(step not in STEPS for step in range(version, SCHEMA_VERSION)):
        made = "a later" if version > SCHEMA_VERSION else "a much earlier"
        raise ValueError(
            f"a run's store must be of version {min(STEPS)} to {SCHEMA_VERSION}, but {str(path)!r} is of version "
            f"{version}: use {made} version of this program."
        )
    return [statement for step in range(version, SCHEMA_VERSION) for statement in _split(STEPS[step])]


def rename_files(folder: RunFolder) -> None:
    """Give files of a run that an earlier version made their present names; those that have them stay."""
    for place, pattern, before, now in RENAMED:
        for path in (folder.path / place).glob(pattern):
            path.rename(path.with_name(path.name.replace(before, now, 1)))


def _split(script: str) -> list[str]:
    return [statement for part in script.split(";") if (statement := part.strip())]
