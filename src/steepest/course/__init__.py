"""The lessons: an experiment each, with claims that are checked, and the page that shows them."""
