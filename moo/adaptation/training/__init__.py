"""What becomes of each network, a stage after the other, kept so that an interrupted job goes on.

backbones  trained networks that get exits, and where these may sit (start here)
exits      their candidate exits, trained with the network frozen
finalists  networks on the joint front, trained on together with the exits of their plans
deployed   their segments: exported, checked, kept
stages     how trainings are run, and how far each has come
folder     the sealed files of all this
"""
