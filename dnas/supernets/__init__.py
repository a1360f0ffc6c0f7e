"""Forms of supernet, and how their convolutions are computed. Start with `supernet`.

build        builds a supernet in either form
depthwise    depthwise convolutions with quick gradients
pointwise    a 1x1 convolution of which a part is trained
separate     separate weights for each candidate (FBNet as published)
slices       parts of weights as views whose gradients are put together at once
superkernel  one masked superkernel a layer (default)
supernet     the interface of supernets
"""
