"""What a network costs: boards, meters, cost tables.

agent         the one file that runs on a board: ONNX Runtime behind JSON lines
channel       requests to a running agent and its replies, whatever carries its lines
cost_tables
device        the `Device` protocol and `open_device`: start here
energy
errors        what can go wrong when a board is asked for something
factory       A board by its name
measurement   what a board reports: latency, energy, and how both came about
meters        power meters, each read by a process of its own on the machine that it hangs on
profiling     the profile of a board: a cost table that predicts whole networks
quantization  networks in int8
replay        a board that returns recorded or computed latencies, for tests
"""
