"""Making a board ready to measure.

board_setup       checks it, installs the runtime, starts the agent: start here
board_facts       what it has before, asked in any shell
runtime_packages  the packages that it gets, and why they could not be had
"""
