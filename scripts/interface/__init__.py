"""What the scripts share: how they are asked, and how they answer in the terminal. Start with `command_line`.

command_line   options from a dataclass, errors in one line
options        the options of a dataclass, and the spelling of booleans
help_text      what `--help` prints
help_pages     the groups of each script's options, and its examples
search_program  the program that searches, as the page starts it
endings        how a command ends before its work does: one line, and the exit code
watching       a long command in a process that another one watches over
live_view      a search in the terminal while it goes on
network_training  the job of scripts that train networks
training_view  its progress in the terminal
run_log        what a run told, kept in its folder
front_table    a front as a table
terminal       text of others in the terminal
"""
