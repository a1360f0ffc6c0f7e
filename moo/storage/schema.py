"""Tables of a run's store, in SQL; `moo.storage.store` says what each holds."""

from __future__ import annotations

SCHEMA_VERSION = 7
TABLES = ("trials", "architectures", "evaluations", "measurements", "trained", "events")
"""Those that hold what a run has found; `seals` has a digest of each, which `moo.storage.database` keeps."""
SEALS = "CREATE TABLE seals (name TEXT PRIMARY KEY, digest BLOB NOT NULL)"
SCHEMA = f"""
CREATE TABLE trials (
    id INTEGER PRIMARY KEY, generation INTEGER NOT NULL,
    alpha REAL, beta REAL, gamma REAL, delta REAL, proposed TEXT, configuration TEXT,
    status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    architecture_id TEXT, error REAL, latency_ms REAL, energy_mj REAL,
    seconds REAL, traceback TEXT, records TEXT, theta BLOB, date TEXT NOT NULL);
CREATE TABLE architectures (
    id TEXT PRIMARY KEY, operators TEXT NOT NULL, error REAL NOT NULL, cross_entropy REAL NOT NULL,
    latency_ms REAL NOT NULL, energy_mj REAL NOT NULL, params INTEGER,
    quantized_error REAL, test_error REAL, quantized_test_error REAL, correct BLOB);
CREATE TABLE evaluations (
    trial_id INTEGER NOT NULL REFERENCES trials (id), position INTEGER NOT NULL,
    architecture_id TEXT NOT NULL REFERENCES architectures (id), adaptive TEXT, PRIMARY KEY (trial_id, position));
CREATE INDEX evaluations_by_architecture ON evaluations (architecture_id, trial_id);
CREATE INDEX trials_by_date ON trials (date, id);
CREATE TABLE measurements (
    id INTEGER PRIMARY KEY AUTOINCREMENT, architecture_id TEXT NOT NULL REFERENCES architectures (id),
    latency_ms REAL NOT NULL, energy_mj REAL NOT NULL, board TEXT NOT NULL, date TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE trained (
    name TEXT PRIMARY KEY, baseline INTEGER NOT NULL, error REAL NOT NULL, top1 REAL NOT NULL, top3 REAL NOT NULL,
    date TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, date TEXT NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL);
{SEALS};
"""
TAKE_OVER = (
    "UPDATE SET error = excluded.error, cross_entropy = excluded.cross_entropy, correct = excluded.correct, "
    "latency_ms = excluded.latency_ms, energy_mj = excluded.energy_mj, "
    "quantized_error = coalesce(excluded.quantized_error, CASE WHEN excluded.error = error THEN quantized_error END)"
)
"""For an architecture that a trial gave, when an earlier one gives it, too: what the earlier one found counts."""
STAY = (
    "UPDATE SET quantized_error = coalesce(quantized_error, CASE WHEN excluded.error = error "
    "THEN excluded.quantized_error END)"
)
"""For one that an earlier trial gave already: an error in int8 that was not known is all that is new."""
