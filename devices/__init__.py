"""What a network costs: boards, the on-board agent, cost tables.

measurement     what a board reports: latency, energy, and how both came about
device          the `Device` protocol and `open_device`: start here
agent_device    a board that runs the agent, wherever it is
channels        requests to a running agent and its replies
host            this machine as a board, through the agent in a subprocess
ssh             a board over SSH
ssh_connection  one SSH connection: strict host keys, files, commands
ssh_address     where a board is, and how to log in
board_setup     makes a fresh board ready to measure
quantization    networks in int8
agent           the one file that runs on a board: ONNX Runtime behind JSON lines
replies         the agent's replies as typed values
replay          a board that returns recorded or computed latencies, for tests
power           energy where no meter is at hand
onnx_graphs     a graph as an ONNX file, without PyTorch
cost_table      latency and energy of every operator at every layer, as JSON
profiling       the profile of a board: a cost table that predicts whole networks
operator_costs  a cost table measured on a board, operator by operator
calibration     corrects a cost table by whole networks measured on the board
few_shot        adapts another board's table by ten measured networks
network_features  what a network asks of a board, as numbers
journal         a board that remembers what it has measured, so that a profile can be resumed
metering        what a device asks of an energy meter
sampled_meter   energy from a meter that samples power: `open_meter`
meter_process   a meter's server as a process of this machine
mean_power      mean power from samples, with its error
cost_model      a cost table from nominal figures, without a board
pi4             the built-in Raspberry Pi 4: its published table, and a power model
operator_model  latency of any shape, fitted to published operators
table_readers   cost tables of other systems: HANNA, a reproduction of FBNet
hw_nas_bench    HW-NAS-Bench's interface, and its networks as graphs
plain_pickle    pickles read without running anything in them
"""
