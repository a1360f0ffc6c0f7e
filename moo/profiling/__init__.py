"""Profiles of boards as files: cost tables and their pictures.

config  what a profile is made of
boards  profiles several boards at once (start here)
"""
