"""Pictures of a run, of its trainings and of boards.

architectures    the networks of a front drawn layer by layer, as in FBNet's figure: colour is the operator, height its
front            pictures of a front among all evaluated networks, and of baselines beside it: one large, and three proj
front_space      the picture of a front in three dimensions
gallery          all pictures of a run
labels           labels beside points, placed so that they hide neither each other nor the points
markers          how networks are marked in pictures of a front, and what the legend and the axes say of them
profile          the picture of a board's profile: how well its table predicts, and what every operator costs
search           pictures of how a front was found: the tuples of coefficients, the hypervolume, and one inner search
style            the look that all pictures share: colours that colour-blind readers can tell apart, markers, titles, ax
tensorboard      what happens in a run as TensorBoard events: listeners of `moo.events` and of `moo.deployment.training`
training         pictures of what training came to: the supernet's ranking put to the test, and what int8 costs and save
training_curves  the picture of a training: loss and accuracy against epochs
"""
