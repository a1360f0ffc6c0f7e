"""What a network costs on a board: latency and energy, measured, modelled or published.

Start with `devices.factory.open_device` and the `Device` that it returns.

factory       opens a board by its name
device        the `Device` protocol that every board implements
streaming     the `StreamingDevice` protocol: images through a network with early exits, and what comes of it
agent         boards that run ONNX Runtime and LiteRT behind JSON lines: this machine, or one over SSH
replay        a board for tests: latencies are recorded or computed, nothing runs
energy        energy of an inference, metered or modelled
meters        power meters; the folder is copied to boards
cost_tables   latency and energy of every operator at every layer
profiling     makes the cost table of a board by measuring on it
configuration how a network is run on a board: threads, clock, precision
measurement   what a board reports: latency, energy, and how each came about
runtimes      a network in the format of a runtime
models        a network as what a board runs: one ONNX file or several
quantization  networks in int8
channel       requests to a running process and its replies
turns         locks of files that programs take turns by
cache         where things are kept that later runs use again
errors        what can go wrong when a board is asked for something
"""
