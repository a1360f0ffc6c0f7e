"""What can be built: operators, layers, architectures and networks, with exact counts. Start with `spaces`.

architectures       one operator for each layer: ids, JSON, parsing
block_graph         a candidate block of a layer as a graph of its own
boundary            files and texts of others: bounded, checked, escaped; atomic writes and locks
catalogue           every space by name, the cell space included
clients             programs that compute a file wrongly, by what a network has
counts              exact MACs and parameters of a graph
descriptions        a space or an architecture as plain data, layer by layer
exits               early exits of a network: places, heads, counts
folding             BatchNorm folded into convolutions
graphs              the one description of a network that counts, PyTorch and files are built from
litert              a graph as a LiteRT file, built directly as well
nas_bench_201       the cell space of the tabular benchmark
networks            a graph as a PyTorch module (the only module here that imports torch)
onnx_files          a graph as an ONNX file, built directly, without a trace of the PyTorch module
operators           the nine FBNet candidates, in their fixed order
published           FBNet-A/B/C and other published architectures
reference_networks  published networks that a front is compared with, as this project's graphs
segments            a network with early exits: in one graph, and cut at them
spaces              the FBNet family of spaces: presets and users' YAML files
"""
