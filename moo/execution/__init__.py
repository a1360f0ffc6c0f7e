"""Where trials run: in this process or under Ray.

evaluator    does jobs: pre-trains a supernet, searches one tuple, evaluates architectures, delivers one network
ray_backend  jobs under Ray: actors that hold the supernet and the splits once
"""
