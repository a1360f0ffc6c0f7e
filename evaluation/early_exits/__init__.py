"""Early exits of trained networks: what each exit says of each image, and what comes of leaving by its confidence.

outcomes        what every exit says of every image, kept so that any policy is judged at once
files           the ONNX files of a network with exits: one that says what all candidates say, and segments to deploy
distillation    the loss of exits: cross-entropy, and what the network itself says
job             what training exits needs, whether with their network or without it
joint           trains a network together with its exits, and keeps that where the network is still as good
policy          leaving where confidence exceeds a threshold, judged; and the oracle that nobody has (start here)
quick           linear heads fitted at once, for networks that a search has just found
settings        how exits are trained
plans           which exits a network may have together
threshold_grid  all policies of a grid of thresholds judged at once
training        trains the heads of all candidate exits while their network stays as it is
"""
