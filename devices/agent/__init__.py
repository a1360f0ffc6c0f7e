"""Boards that run the agent: ONNX Runtime behind JSON lines, on this machine or over SSH.

device          `AgentDevice` measures through a `Link`, wherever the agent runs: start here
host            this machine as a board: the agent in a subprocess
host_turns      turns of the programs that measure on this machine
ssh             a board over SSH: the agent in a remote process, models uploaded to it
ssh_address     where a board is, and how to log in there
ssh_connection  one SSH connection to a board; logs in by key only
ssh_host_keys   refuses a board whose host key is not the known one
board_setup     makes a board ready to measure: checks it and installs the runtime
endings         why the agent ended by itself, and what to do about it
replies         the agent's replies as typed values
agent           the one file that runs on the board
"""
