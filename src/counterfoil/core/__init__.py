"""Formats and proofs: bytes in, values out; no I/O, no clock, no randomness.

A newcomer starts at `merkle` (the tree), `note` and `checkpoint` (what the log signs),
`envelope` and `statement` (what is logged), `record` and `stream` (what is about people),
`receipt` (what a holder keeps) and `policy` (who may say what).
"""
