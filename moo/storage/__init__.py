"""What a run has found: archive, store, run folder.

archive          all evaluated architectures of a run, keyed by architecture id, with their costs; its non-dominated set
pareto           non-dominated sets and hypervolume
run_folder       paths of a run folder; creating one, and checking one that is to be resumed
schema           tables of a run's store, in SQL; `moo.storage.store` says what each holds
store            the SQLite store of a run: what resume, plots, reports and other programs read
trained_network  what became of a network that was trained for deployment: accuracy, files, what a board measured of the
"""
