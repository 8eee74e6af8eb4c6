"""Rows, the database they lie in, its migrations, and the columnar histories beside it."""
