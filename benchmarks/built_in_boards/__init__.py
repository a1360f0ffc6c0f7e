"""What the built-in boards `pi4` and `pi5` rest on, against published latencies; `laws` is a script.

laws                the laws that scale the published table, fitted anew, with their errors
published_networks  graphs of networks whose latencies others published
"""
