"""Makes a cost table that predicts whole networks, by measuring on a board.

calibration       corrects a cost table by whole networks measured on the board
few_shot          A cost table for a new board from another board's table and about ten measured networks
journal           A board that remembers: what it has measured before is read from a file instead of being measured agai
network_features  what tells the networks of a space apart before any is measured
operator_costs    A cost table measured on a board, operator by operator
profile           the profile of a board: a cost table that predicts whole networks
"""
