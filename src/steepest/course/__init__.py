"""The course: what each experiment of the first lecture shows, checks and draws, and the page made of all of them."""
