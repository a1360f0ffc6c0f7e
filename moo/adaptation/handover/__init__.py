"""What is handed over of networks with early exits. Start with `folder.write_adaptive`.

folder        front/<id>/adaptive/: segments, adaptive.json, programs, card
run           the program among these, which needs onnxruntime and numpy alone
run_litert    beside it where points are under LiteRT: a segment under that
"""
