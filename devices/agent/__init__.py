"""Boards that run the agent: ONNX Runtime and LiteRT behind JSON lines, on this machine or over SSH.

device            `AgentDevice` measures through a `Link`, wherever the agent runs: start here
host              this machine as a board: the agent in a subprocess
host_turns        turns of the programs that measure on this machine
ssh               a board over SSH: the agent in a remote process, models uploaded to it
ssh_address       where a board is, and how to log in there
ssh_config        OpenSSH's client configuration: what it says about one host
ssh_connection    one SSH connection to a board: its commands and files
ssh_failures      why a login failed: one line for each cause
ssh_files         files on a board, written and removed by its shell
ssh_host_keys     refuses a host whose key is not the known one
ssh_keys          the keys that a host is offered, and why others are not
ssh_login         logs in to a board, host by host; by key only
ssh_patterns      words and patterns of OpenSSH's files
ssh_route         the way to a board: its jump hosts, and what `ssh` would use for each
setup             makes a board ready to measure: checks it and installs the runtime
endings           why the agent ended by itself, and what to do about it
replies           the agent's replies as typed values
agent             runs on the board
agent_runtimes    beside it there: opens files of ONNX and LiteRT
"""
