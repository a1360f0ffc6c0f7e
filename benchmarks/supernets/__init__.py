"""Supernets of different forms, compared in one run.

rank               how far a supernet's ranking can be trusted (a script)
launches           what steps have a GPU do, and their time compared with another version's (a script)
joint_searches     inner searches in one forward of the supernet, timed against one after another (a script)
paths              several paths a step, shared by processes: time and accuracy (a script)
published          steps against the published code of HANNA and of a reproduction of FBNet (a script)
published_code     supernets of that code
timed_checkout     times steps of a version, for that
forms              the project's default, and FBNet's as published
timed_pretraining  pre-training for a given time instead of a number of passes
steps              weight and theta steps, timed
dispatched         what a step has a GPU do, counted without one
equal_time         supernets trained for equal time, by turns
comparison         figures of the default compared with those of its references
ranked_networks    networks that a supernet ranks: random ones, or those of a run
trained_alone      their accuracies when each is trained from random weights
inherited          their accuracies with weights of a pre-trained supernet
"""
