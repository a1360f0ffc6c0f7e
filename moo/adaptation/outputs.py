"""What a run hands over of its adaptive networks: front_adaptive.json, front/<id>/adaptive/, pictures and report."""
