"""BSATN and SATS-JSON: types as data, values, and codecs that are compiled once per type.

`types.py` is what a schema is made of, `values.py` what rows are made of; `codec.py` is the door to everything else.
"""
