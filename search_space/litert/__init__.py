"""A graph as a LiteRT file (`.tflite`), written directly, without a converter. Start with `files`,
or with `conversion` where there are ONNX files.

conversion    ONNX files of this project as LiteRT files
files         operation by operation: what each becomes in LiteRT, in float32 or in int8
flat_model    tensors and operations as the bytes of a file, and the notes in a file
grids         the int8 grids of activations and weights
layout        where the channels of an activation lie in its tensor
onnx_reader   an ONNX file as a graph, and the ranges in an int8 file
"""
