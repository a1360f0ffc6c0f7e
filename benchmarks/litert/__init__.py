"""LiteRT files beside ONNX files.

files  time to write a file, and the speed of both runtimes, as ratios in one run (start here)
"""
