"""The profile of a board: a cost table that predicts whole networks, made by measuring on it.

profile           measures a board, or adapts the table of another: start here
operator_costs    a cost table measured operator by operator
calibration       corrects a cost table by networks measured whole
few_shot          a cost table from that of another board and about ten networks measured whole
network_features  what tells the networks of a space apart before any is measured
journal           a board that reads from a file what it has measured before
"""
