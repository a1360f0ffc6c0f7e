"""The profile of a board: a cost table that predicts whole networks, made by measuring on it.

profile                 measures a board, or adapts the table of another: start here
family                  the cost tables of a board in several runtime configurations
family_plan             which of these are measured, and by how many networks
lower_clocks            tables at lower clocks than the highest
clock_law               latency by clock, with one coefficient
default_configurations  the configurations of a board unless the user names others
operator_costs          a cost table measured operator by operator
calibration             corrects a cost table by networks measured whole
few_shot                a cost table from that of another board and about ten networks measured whole
network_features        what tells the networks of a space apart before any is measured
journal                 a board that reads from a file what it has measured before
"""
