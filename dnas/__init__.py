"""The inner loop: differentiable search over a supernet.

relaxation    theta, Gumbel-softmax, temperature schedule, sampling of architectures
costs         expected latency and energy as plain tensors
batches       what is needed of data
losses        the hardware-aware losses: additive (default) and FBNet's multiplicative one
supernet      the interface of supernets; builds either form
superkernel   one masked superkernel a layer (default)
depthwise     depthwise convolutions with quick gradients
pointwise     1x1 convolution of which a part is learnt
separate      separate weights for each candidate (FBNet as published)
pretraining   trains a supernet's weights with sampled paths or mixed paths
memory        has freed memory stay with the process
inner_search  searches theta for one tuple of coefficients
surrogate     a Gaussian process over architectures, as a differentiable stand-in for their accuracy
"""
