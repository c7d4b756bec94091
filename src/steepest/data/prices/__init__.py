"""Reads a price file into a checked frame. Nothing here uses tensors.

`content.py` opens a file and limits its memory, and `table.py` splits it into text columns. `dates.py` and
`numbers.py` find a column's format by elimination. `roles.py` finds the date, series and price columns. `checks.py`
sorts the rows and finds the faults.
"""
