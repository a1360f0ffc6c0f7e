"""Pictures of a run, of trainings and of boards. Matplotlib is imported nowhere else.

gallery        every picture of a run (start here)
front          a front: large, as three projections, in 3-D
coefficients   which loss coefficients give which networks
search         how it was found: hypervolume, theta
training       training curves, the supernet's ranking put to the test, int8 against fp32
samples        images of the data set, as networks see them
architectures  the networks of a front, layer by layer
operator_colours  colours of operators in those, and on the page
profile        the profile of a board
family         its cost tables in several configurations
tensorboard    a run as TensorBoard events
markers        how networks are marked, and what legends and axes say
labels         labels that hide neither each other nor points
style          colours, titles and axes
adaptive       networks with early exits: what they gain, where images leave, the oracle
configurations  what runtime configurations trade: the front in space, energy against latency and clock
"""
