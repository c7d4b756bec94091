"""The course: one experiment per lesson, with claims that are checked, and the page that shows the lessons."""
