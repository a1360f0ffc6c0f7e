"""Entry points: parse, build, call one function, write.

pareto_search  the main job
profile_device the cost table of a board
setup_board    a board made ready to measure
describe       a space or an architecture, with exact counts
train_architecture one network trained for deployment
train_front    every network of a run's front trained for deployment
adapt_front    early exits for the trained networks of a front
compare_baselines published networks trained and measured like a front
network_training, training_view  what these two share: the job, and its progress in the terminal
command_line   what all scripts share: options from a dataclass, errors in one line
endings        how a command ends before its work does: one line, and the exit code
watching       a long command in a process that another one watches over
options        the options of a dataclass, and the spelling of booleans
help_text      what `--help` prints
help_pages     the groups of each script's options, and its examples
terminal       text of others in the terminal
live_view      a search in the terminal while it goes on
front_table    a front as a table
select_network one point of a front: the most accurate within limits, or the knee
"""
