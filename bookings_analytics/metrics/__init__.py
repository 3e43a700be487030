"""Outcomes, rates and their intervals: from any engine's frames to frames of the same engine.

Nothing here knows the client or the archive.
"""
