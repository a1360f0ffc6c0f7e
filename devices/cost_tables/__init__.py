"""Cost tables: latency and energy of every operator at every layer, with where they come from.

cost_table        the `CostTable` and its JSON file: start here
family            the tables of a board, one for each runtime configuration
energy_objective  which energy is minimised: net, gross, or over a period
exit_costs        what it costs to leave a network at each of its early exits
pi4               published latencies of a Raspberry Pi 4
raspberry_pi      the built-in boards `pi4` and `pi5` over clocks, threads and precisions
operator_model    latency of any graph, from a price of each of its counts
analytic          a table from nominal figures, for when there is no board
readers           cost tables of other systems, recognised by their content
text_tables       rows of numbers, however an editor or a spreadsheet saved them
other_shapes      whether a table has the shapes of another space than it is given for
hw_nas_bench      the tables of HW-NAS-Bench, behind the interface of its own API
table_names       which names stand for a table instead of a board
plain_pickle      reads pickles of plain data without running anything in them
pickle_machine    obeys the instructions of those, and counts them
"""
