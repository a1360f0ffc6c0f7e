"""Early exits of trained networks: what each exit says of each image, and what comes of leaving by its confidence.

outcomes        what every exit says of every image, kept so that any policy is judged at once
files           the ONNX files of a network with exits: one that says what all candidates say, and segments to deploy
policy          leaving where confidence exceeds a threshold, judged; and the oracle that nobody has (start here)
plans           which exits a network may have together
threshold_grid  all policies of a grid of thresholds judged at once
"""
