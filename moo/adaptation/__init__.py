"""Trained networks of a finished run made adaptive: early exits, thresholds and configurations under a nested search.

The outer level chooses networks, the inner one exits, thresholds and runtime configurations for each, as in HADAS
(Bouzidi et al., DATE 2023), but with policies that can be deployed in the place of an oracle.

job               the whole job of `adapt_front` (start here)
config            its options
inputs            what networks are adapted with, checked
networks          the outer level: which networks get exits
training          their exits trained, their segments made
nested            the nested search over several networks: policies, finalists, thresholds anew
costs             costs of ways, predicted or measured
passing           what passing an exit takes, measured before exits are chosen
measuring         ways measured on the run's boards
streams           real images streamed through them there
points            operating points, and the front among them
outputs           what the run hands over
inner_search      exits, thresholds and configurations of one network (start here)
policy_search     plans and thresholds of one precision, on grids that are judged whole
evolved_policies  the same and configurations by NSGA-II
cost_orders       which configurations one search serves
plan_choice       one plan for each of several networks
policy_points     policies, and their points in configurations
handover          what is handed over of a network: its segments, and what runs them
"""
