"""The inner loop: differentiable search over a supernet. Start with `inner_search`.

batches           what the search needs of data
build             builds a supernet in either form
costs             expected latency and energy as plain tensors
depthwise         depthwise convolutions with quick gradients
divergence        training that has diverged, and what is tried then
inner_search      searches theta for one set of coefficients, on the supernet
joint             several inner searches in one forward of the supernet, on GPUs
losses            the hardware-aware losses: additive (default) and FBNet's multiplicative one
optimizer         which parameters decay, for an optimiser of weights
pointwise         a 1x1 convolution of which a part is trained
pretraining       trains a supernet's weights with sampled paths or mixed paths
recipe            how a supernet is trained where the user does not say so
relaxation        theta, Gumbel-softmax, temperature schedule, sampling of architectures
schedule          learning rates: linear warm-up and cosine decay
separate          separate weights for each candidate (FBNet as published)
slices            parts of weights as views whose gradients are put together at once
superkernel       one masked superkernel a layer (default)
supernet          the interface of supernets
surrogate         a Gaussian process over architectures: a differentiable model of accuracy
surrogate_search  searches theta for many sets of coefficients at once, on a surrogate
"""
