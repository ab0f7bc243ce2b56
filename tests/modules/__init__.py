"""Modules of which the traffic with a real server was recorded, written in Python."""
