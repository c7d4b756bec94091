"""A lesson each: `teach(folder)` reads a run's or a sweep's folder and answers with a `Finding`.

NAME.html.j2 beside it explains it.
"""
