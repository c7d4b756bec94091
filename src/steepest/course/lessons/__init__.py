"""One module per lesson: `teach(folder)` reads the folder of a run or a sweep and returns a `Finding`.

NAME.html.j2 has the lesson's text.
"""
