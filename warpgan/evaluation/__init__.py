"""A method on a data set: what is compared with what, the numbers, and their records."""
