"""Networks on the joint front, trained on together with the exits of their plans, and made into files.

Start with `deployed_finalists`.
"""
