"""One forward pass, followed: module calls, functions, and the rows that come of them."""
