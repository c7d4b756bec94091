"""A price file -> a checked frame: bytes, text, columns of text, dates and numbers, roles, checks. No tensors.

`content.py` opens a file within limits, `table.py` splits it into columns of text, `dates.py` and `numbers.py` read a
column by elimination, `roles.py` decides which column is which, and `checks.py` sorts the rows and finds the faults.
"""
