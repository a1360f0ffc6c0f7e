"""Latency and energy of every operator at every layer: measured, modelled or published.

analytic        A cost table from nominal figures: no board, always the same, always labelled `modelled`
cost_table      latency and energy of every operator at every layer, with where they come from; read and written as JSON
hw_nas_bench    HW-NAS-Bench's tables behind the interface of its own API, and its networks as this project's graphs
operator_model  latency of any graph from a few counts of it, with a price of each count fitted to published operators
pi4             the built-in board `pi4`: published latencies of a Raspberry Pi 4. Start with `pi4_cost_table`
plain_pickle    pickles of plain containers, numbers, strings and NumPy arrays, read without running anything that they
readers         cost tables of other systems, recognised by their content
"""
