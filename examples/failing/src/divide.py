"""Divides 42 by a number; dividing by nought fails, which is the point of this example."""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--by", type=float, required=True)
by = parser.parse_args().by
print(f"dividing 42 by {by}")
print(f"the answer is {42 / by}")
