"""A run's front as a model repository on the Hugging Face hub.

folder       the very folder that is uploaded (start here)
finished     a run that has ended, read without its images
front_card   README.md: the front as a table, how it was found, how one network is run
metadata     what the hub reads at the top of README.md
discretion   what of a user's machine and boards never goes out
hub          the upload; the only door to huggingface_hub besides metadata
"""
