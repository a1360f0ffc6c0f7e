"""Trained networks of a finished run made adaptive: early exits, thresholds and configurations under a nested search.

The outer level chooses networks, the inner one exits, thresholds and runtime configurations for each, as in HADAS
(Bouzidi et al., DATE 2023), but with policies that can be deployed in the place of an oracle.
"""
