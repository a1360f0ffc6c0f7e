"""What a run has found, in memory and on disk.

record           the only writer of archive and store (start here)
archive          every evaluated architecture with its costs; its non-dominated set is the front
point_costs      costs of very many operating points at once
pareto           non-dominated sets and hypervolume
store            the SQLite database that resume, pictures and report read
trial_columns    what a trial tries, as columns of its tables
database         its file: made, opened, and known to be whole
choices          what a run has chosen, and noted in it before it acted on it
schema           its tables
migrations       run folders of earlier versions, brought to the present one
adaptive_front   the operating points of networks with early exits, as a file
event_file       what happened, a line of JSON each
network_files    the files of a network that a run hands over
trained_network  what training for deployment made of a network
origin           what a run was made from
search_state     how far its search has come
run_folder       where everything of a run lies
"""
