"""Entry points: parse, build, call one function, write.

pareto_search  the main job
profile_device the cost table of a board
setup_board    a board made ready to measure
describe       a space or an architecture, with exact counts
train_architecture one network trained for deployment
training_curves its loss and accuracy as a picture
command_line   what all scripts share: options from a dataclass, errors in one line
live_view      a search in the terminal while it goes on
front_table    a front as a table
select_network one network of a front: the most accurate within limits, or the knee
"""
