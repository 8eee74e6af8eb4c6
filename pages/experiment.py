"""One experiment: its runs with chosen metrics and parameters; ticked runs are drawn together."""
