"""Wanted against found: one file a kind of thing; deciding is pure, doing is small."""
