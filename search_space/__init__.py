"""What can be built: operators, layers, architectures and networks, with exact counts.

operators      the nine FBNet candidates, in their fixed order
spaces         the FBNet family of spaces: presets and users' YAML files
nas_bench_201  the cell space of the tabular benchmark
architectures  one operator for each layer: ids, JSON, parsing
published      FBNet-A/B/C and other published architectures
baselines      MobileNets and CondenseNet, to compare a front with
graphs         the one description of a network that counts, PyTorch and ONNX are built from
counts         exact MACs and parameters of a graph
catalogue      every space by name, the cell space included
descriptions   a space or an architecture as plain data, layer by layer
networks       a graph as a PyTorch module (the only module here that imports torch)
"""
