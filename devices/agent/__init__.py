"""A board that runs the agent: ONNX Runtime behind JSON lines, on this machine or over SSH.

agent           the on-board agent: runs ONNX models and answers in JSON lines
board_setup     makes a board ready to measure: checks it, installs the runtime, starts the agent
device          A board that runs the agent, wherever it is: `AgentDevice` measures through a `Link`
host            this machine as a board: the agent in a subprocess, spoken to as on any other board
replies         the agent's replies as typed values: the one edge where they are checked
ssh             A board over SSH: the agent in a remote process, models uploaded to it
ssh_address     where a board is, and how to log in there over SSH
ssh_connection  one SSH connection to a board, with strict host keys and keys only; start with `SshConnection`
"""
