"""`steepest report`: a sweep on one page of HTML that needs nothing else, neither files nor a network. No torch."""
