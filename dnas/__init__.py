"""The inner loop: differentiable search over a supernet. Start with `inner_search`.

batches           what the search needs of data
costs             expected latency and energy as plain tensors
divergence        training that has diverged, and what is tried then
inner_search      searches theta for one set of coefficients, on the supernet
joint             several inner searches in one forward of the supernet, on GPUs
losses            the hardware-aware losses: additive (default) and FBNet's multiplicative one
mixed_precision   steps that compute in bfloat16 where that pays
optimizer         which parameters decay, for an optimiser of weights
posterior         hyper-parameters of Gaussian processes, and the most probable ones
pretraining       trains a supernet's weights with sampled paths or mixed paths
ranks             processes that share the paths of a step of pre-training
recipe            how a supernet is trained where the user does not say so
relaxation        theta, Gumbel-softmax, temperature schedule, sampling of architectures
schedule          learning rates: linear warm-up and cosine decay
supernets         forms of supernet, and how their convolutions are computed
surrogate         a Gaussian process over architectures: a differentiable model of accuracy
surrogate_search  searches theta for many sets of coefficients at once, on a surrogate
train_precision   the name of what steps compute in
"""
