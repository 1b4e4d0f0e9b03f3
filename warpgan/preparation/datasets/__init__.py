"""Public data sets as downloaded become image folders with cameras."""
