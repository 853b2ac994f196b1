"""Beside the pipeline: how fast the tool is, as ratios within one boot."""
